"""``eamamba train | evaluate | complexity | receptive-field``: one task at a time."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    SettingsOption,
    WeightsOption,
    choose_device,
    name_other_task,
    project_settings,
)
from eamamba.config import EAMambaSettings, TaskSettings

if TYPE_CHECKING:
    from eamamba.network import Network

TaskArgument = Annotated[str, typer.Argument(help="Task in params.yaml, such as denoise_gaussian.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for results. Default: results/PROFILE/TASK."),
]

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


def train(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: OutputOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the stages, cost and missing data, then stop.")
    ] = False,
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


def evaluate(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    output: OutputOption = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Folder for restored images (SIDD: Idenoised.mat)."),
    ] = None,
) -> None:
    """Score one task on its benchmarks; writes per_image.csv and metrics.json.

    Example: `eamamba evaluate derain --weights derain --output scores/`
    """
    from eamamba import evaluation, report

    chosen = project_settings(profile, settings).task(task)
    folder = output or paths.results(chosen.profile, task)
    model = _load_on_device(weights or f"{chosen.profile}/{task}", device, task)
    failed: evaluation.EvaluationError | None = None
    try:
        metrics = evaluation.evaluate(model, chosen, folder, export=export)
    except evaluation.EvaluationError as error:
        if not error.metrics:
            raise
        metrics, failed = error.metrics, error
    typer.echo(report.protocol_label(chosen.evaluation.protocol))
    for benchmark, conditions in metrics.items():
        for condition, means in conditions.items():
            shown = (f"{name} {'-' if v is None else f'{v:.4g}'}" for name, v in means.items())
            typer.echo(f"{benchmark}, {condition}: {', '.join(shown)}")
    typer.echo(f"written to {folder / 'metrics.json'} and per_image.csv")
    if failed:
        raise failed


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


def receptive_field(
    task: TaskArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    weights: WeightsOption = None,
    position: Annotated[
        list[str] | None, typer.Option(help="centre, top left …; repeat for several.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw the effective receptive field of a network on its test images.

    Example: `eamamba receptive-field derain --output field.png`
    """
    from eamamba import report
    from eamamba.evaluation.receptive_field import effective_receptive_field, network_inputs

    if output.suffix.lower() != ".png":
        raise CommandError(f"{output}: expected a file ending in .png")
    chosen = project_settings(profile, settings).task(task)
    model = _load_on_device(weights or f"{chosen.profile}/{task}", device, task)
    images = network_inputs(chosen)
    fields = {
        name: effective_receptive_field(model, images, name).numpy()
        for name in position or ["centre"]
    }
    typer.echo(f"written to {report.save(report.receptive_field(fields), output)}")


def _load_on_device(weights: str, device: str, task: str) -> Network:
    from eamamba.checkpoint import find_weights, load_model

    file = find_weights(weights)
    name_other_task(file, task)
    return load_model(file, choose_device(device))
