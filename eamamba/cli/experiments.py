"""``eamamba train``: one task at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    OutputFolderOption,
    ProfileOption,
    SettingsOption,
    choose_device,
    project_settings,
)
from eamamba.cli.launched import is_main_process
from eamamba.cli.own_images import (
    DegradationOption,
    IterationsOption,
    PairsOption,
    PhotosOption,
    own_settings,
    report_on,
    unreported_weights,
)
from eamamba.cli.planning import DeviceMemoryOption, DevicesOption, show_plan
from eamamba.cli.rehearsing import show_rehearsal
from eamamba.config import TaskSettings

TaskOrNoneArgument = Annotated[
    str | None,
    typer.Argument(help="Task in params.yaml, such as denoise_gaussian; none for your own images."),
]
FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Start over: do not resume, and replace the results of a finished training."
    ),
]
TimeLimitOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop after this time, resumable: 90 (seconds), 30m, 1h30m."),
]
TensorboardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Write curves and pictures for TensorBoard, too.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the stages, cost and missing data, then stop.")
]
RehearseOption = Annotated[
    bool,
    typer.Option(
        "--rehearse", help="Run a few steps of every stage at full size, print days and GiB, stop."
    ),
]


def train(
    task: TaskOrNoneArgument = None,
    photos: PhotosOption = None,
    pairs: PairsOption = None,
    degradation: DegradationOption = None,
    iterations: IterationsOption = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: OutputFolderOption = None,
    dry_run: DryRunOption = False,
    devices: DevicesOption = None,
    device_memory: DeviceMemoryOption = None,
    rehearse: RehearseOption = False,
    fresh: FreshOption = False,
    time_limit: TimeLimitOption = None,
    tensorboard: TensorboardOption = False,
) -> None:
    """Train one task, or on your own images; an interrupted training resumes where it ended.

    With --photos or --pairs there is no settings file. The network and the recipe are those of a
    profile: laptop on a CPU (minutes), pretrained on a GPU. A tenth of the images is held out, and
    a report says what the network makes of them.

    Example: `eamamba train --photos holiday/ --degradation gaussian_noise -o mine/`
    """
    limit_s = None if time_limit is None else _seconds(time_limit)
    place = str(choose_device(device))
    is_own = photos is not None or pairs is not None
    if is_own and (task or settings):
        raise CommandError("--photos and --pairs need no task and no settings; leave them out")
    if is_own:
        recipes = profile or ("laptop" if place == "cpu" else "pretrained")
        chosen = own_settings(photos, pairs, degradation, iterations, recipes, output)
    else:
        chosen = _of_task(task, profile, settings, degradation, iterations)
    if dry_run or devices or device_memory:
        show_plan(chosen, place, devices, device_memory)
    elif rehearse:
        show_rehearsal(chosen, place)
    else:
        folder = output or paths.results(chosen.profile, chosen.task)
        known = unreported_weights(folder) if is_own and not fresh else None
        weights = known or _train(chosen, folder, place, fresh, limit_s, tensorboard)
        _say_where(weights, folder)
        if weights and is_own and is_main_process():
            typer.echo(f"report: {report_on(weights, chosen, place)}")


def _of_task(
    task: str | None,
    profile: str | None,
    settings: Path | None,
    degradation: str | None,
    iterations: int | None,
) -> TaskSettings:
    if task is None:
        raise CommandError("name a task, or your own images: --photos FOLDER or --pairs FOLDER")
    if degradation or iterations:
        raise CommandError("--degradation and --iterations are for --photos and --pairs")
    return project_settings(profile, settings).task(task)


def _train(
    settings: TaskSettings,
    folder: Path,
    device: str,
    fresh: bool,
    limit_s: float | None,
    tensorboard: bool,
) -> Path | None:
    from eamamba import training

    try:
        return training.train(
            settings,
            folder,
            device=device,
            resume=not fresh,
            time_limit_s=limit_s,
            tensorboard=tensorboard,
        )
    except training.TrainingInterrupted as stop:
        if is_main_process():
            typer.echo(str(stop), err=True)
        raise typer.Exit(128 + stop.number) from None  # the convention of shells


def _say_where(weights: Path | None, folder: Path) -> None:
    if not is_main_process():
        return
    if weights is None:
        typer.echo(f"time limit reached: saved in {folder}; run the same command to resume")
    else:
        typer.echo(f"weights: {weights}")


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
