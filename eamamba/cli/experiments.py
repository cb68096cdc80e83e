"""``eamamba train``: one task at a time."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    OutputFolderOption,
    ProfileOption,
    SettingsOption,
    TaskArgument,
    choose_device,
    project_settings,
)
from eamamba.cli.rehearsing import show_rehearsal
from eamamba.config import TaskSettings

FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Start anew: do not resume, and replace what a finished training left."
    ),
]
TimeLimitOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Stop after so long, to be resumed: 90 (seconds), 30m, 1h30m."
    ),
]


RehearseOption = Annotated[
    bool,
    typer.Option(
        "--rehearse", help="Try a few steps of every stage at full size, then stop: days, GiB."
    ),
]


def train(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: OutputFolderOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the stages, cost and missing data, then stop.")
    ] = False,
    rehearse: RehearseOption = False,
    fresh: FreshOption = False,
    time_limit: TimeLimitOption = None,
) -> None:
    """Train one task; an interrupted training resumes from its last checkpoint.

    Example: `eamamba train derain --profile laptop --time-limit 30m`
    """
    from eamamba import training

    limit_s = None if time_limit is None else _seconds(time_limit)
    chosen = project_settings(profile, settings).task(task)
    if dry_run:
        _show_plan(chosen, str(choose_device(device)))
        return
    if rehearse:
        show_rehearsal(chosen, str(choose_device(device)))
        return
    folder = output or paths.results(chosen.profile, task)
    place = str(choose_device(device))
    try:
        weights = training.train(
            chosen, folder, device=place, resume=not fresh, time_limit_s=limit_s
        )
    except training.TrainingInterrupted as stop:
        typer.echo(str(stop), err=True)
        raise typer.Exit(128 + stop.number) from None  # as shells count it
    if weights is None:
        typer.echo(f"time limit reached: saved in {folder}; run the same again to resume")
    else:
        typer.echo(f"weights: {weights}")


def _show_plan(settings: TaskSettings, device: str) -> None:
    from eamamba import training

    stages = training.plan(settings)
    typer.echo(stages.to_string(float_format="{:.4g}".format))
    typer.echo(f"{settings.training.iterations:,} iterations in total")
    typer.echo(f"{stages['teraflops'].sum():,.4g} TFLOPs in total (one multiply-add = 1 FLOP)")
    hours = training.measured_hours(settings, device)
    shown = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
    typer.echo(f"about {shown} hours on {device}, estimated from a few timed steps")
    for line in training.missing(settings):
        typer.echo(f"missing: {line}")


def _seconds(text: str) -> float:
    """Return a time of the command line, such as ``90``, ``90s``, ``30m`` or ``1h30m``."""
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", text.strip())
    try:
        if not match or not any(match.groups()):
            raise ValueError
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
    except ValueError:
        raise CommandError(
            f"--time-limit: got {text!r}; expected seconds or a time such as 30m or 1h30m"
        ) from None
    return 3600 * hours + 60 * minutes + seconds
