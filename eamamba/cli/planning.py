"""``eamamba train --dry-run``: what a training sees, costs and needs, without running it."""

from __future__ import annotations

from typing import Annotated

import typer

from eamamba.config import TaskSettings

DevicesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Show the plan for so many GPUs that share each batch, then stop."),
]
DeviceMemoryOption = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        metavar="GIB",
        help="Plan for this memory each. Default: what is free here.",
    ),
]


def show_plan(
    settings: TaskSettings, device: str, devices: int | None, memory_gib: float | None
) -> None:
    """Show what a training sees and needs; with the time it takes, if this machine is to run it."""
    import torch

    from eamamba import training
    from eamamba.restore.memory import free_memory

    free = free_memory(torch.device(device)) if memory_gib is None else int(memory_gib * 2**30)
    stages = training.plan(settings, devices or 1, free)
    typer.echo(stages.to_string(float_format="{:.4g}".format))
    each = f"each of {devices} devices" if devices else f"one device ({device})"
    typer.echo(f"memory_gib: estimated peak of {each} in {settings.training.precision}")
    typer.echo(f"{settings.training.iterations:,} iterations in total")
    typer.echo(f"{stages['teraflops'].sum():,.4g} TFLOPs in total (one multiply-add = 1 FLOP)")
    if devices is None and memory_gib is None:  # then it is about this machine
        hours = training.measured_hours(settings, device)
        shown = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
        typer.echo(f"about {shown} hours on {device}, estimated from a few timed steps")
    for line in training.missing(settings):
        typer.echo(f"missing: {line}")
