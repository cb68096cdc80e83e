"""``eamamba evaluate | receptive-field``: a network on the test images of its task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    OutputFolderOption,
    ProfileOption,
    SettingsOption,
    TaskArgument,
    WeightsOption,
    choose_device,
    name_other_task,
    project_settings,
)

if TYPE_CHECKING:
    from eamamba.network import Network


def evaluate(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    output: OutputFolderOption = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Folder for restored images (SIDD: Idenoised.mat)."),
    ] = None,
) -> None:
    """Score one task on its benchmarks; writes per_image.csv and metrics.json.

    Example: `eamamba evaluate derain --weights derain --output scores/`
    """
    from eamamba import evaluation, report
    from eamamba.restore import Captured

    chosen = project_settings(profile, settings).task(task)
    folder = output or paths.results(chosen.profile, task)
    model = Captured(_load_on_device(weights or f"{chosen.profile}/{task}", device, task))
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
