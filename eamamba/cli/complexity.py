"""``eamamba complexity``: the size and the cost of a network."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from eamamba.cli.choices import CommandError, ProfileOption, SettingsOption, project_settings
from eamamba.config import EAMambaSettings


def complexity(
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Default: the paper's model.")
    ] = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    size: Annotated[int, typer.Option(min=1, help="Height and width in pixels.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count the parameters and FLOPs of a network (one multiply-add = 1 FLOP).

    Example: `eamamba complexity --task derain --size 512`
    """
    from eamamba import profiling
    from eamamba.network import EAMamba

    if task is None and (profile or settings):
        raise CommandError("--profile and --settings need a --task")
    model = project_settings(profile, settings).task(task).model if task else EAMambaSettings()
    if isinstance(model, EAMambaSettings) and size % EAMamba.size_multiple:
        raise CommandError(f"--size {size}: expected a multiple of {EAMamba.size_multiple}")
    cost = profiling.complexity(model, size)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(cost), indent=2))
        return
    typer.echo(f"{cost.parameters:,} parameters")
    typer.echo(f"{cost.gflops:.2f} GFLOPs at {size}×{size} pixels (one multiply-add = 1 FLOP)")
    for kind, gflops in cost.gflops_by_kind.items():
        typer.echo(f"  {gflops:8.2f}  {kind}")
