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
    choose_weights,
    project_settings,
    warn_of_other_task,
)
from eamamba.cli.launched import (
    is_main_process,
    own_device,
    process_count,
    process_number,
    wait_for_all,
)
from eamamba.config import TaskSettings

if TYPE_CHECKING:
    from eamamba.evaluation.table import Metrics
    from eamamba.network import Network


ImagesOption = Annotated[
    Path | None,
    typer.Option(
        help="Test on this folder instead: clean photographs, to be degraded as in the task, or "
        "pairs in input/ and target/. Needs --output, but no settings file."
    ),
]
SelfEnsembleOption = Annotated[
    bool,
    typer.Option(
        "--self-ensemble", help="Average over 4 flipped copies; results in self_ensemble/."
    ),
]
ExportOption = Annotated[
    Path | None, typer.Option("--export", help="Folder for restored images (SIDD: Idenoised.mat).")
]


def evaluate(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    weights: WeightsOption = None,
    images: ImagesOption = None,
    self_ensemble: SelfEnsembleOption = False,
    device: DeviceOption = "auto",
    output: OutputFolderOption = None,
    export: ExportOption = None,
) -> None:
    """Score one task on its benchmarks; writes per_image.csv and metrics.json.

    After an interruption, run it again to resume.

    Example: `eamamba evaluate derain --images my_pairs/ --output scores/`
    """
    from eamamba import evaluation
    from eamamba.restore import Captured

    if images is not None and output is None:
        raise CommandError("--images: name the folder for the scores with --output FOLDER")
    source = settings or (None if images is None else paths.settings_file())
    chosen = project_settings(profile, source).task(task)
    folder = output or paths.results(chosen.profile, task) / ("self_ensemble" * self_ensemble)
    chosen = _changed(chosen, images, self_ensemble)
    file = _weights(task, weights, profile, images, chosen)
    model = Captured(_load_on_device(file, device, task))
    if process_count() > 1:
        number, count = process_number(), process_count()
        evaluation.score_share(model, chosen, folder, number, count, export=export)
        wait_for_all(choose_device(device))
        if not is_main_process():
            return
    failed: evaluation.EvaluationError | None = None
    try:
        metrics = evaluation.evaluate(model, chosen, folder, export=export, resume=True)
    except evaluation.EvaluationError as error:
        if not error.metrics:
            raise
        metrics, failed = error.metrics, error
    _show(metrics, chosen)
    typer.echo(f"written to {folder / 'metrics.json'} and per_image.csv")
    if failed:
        raise failed


def _show(metrics: Metrics, settings: TaskSettings) -> None:
    from eamamba import report

    typer.echo(report.protocol_label(settings.evaluation.protocol))
    for benchmark, conditions in metrics.items():
        for condition, means in conditions.items():
            shown = (f"{name} {'-' if v is None else f'{v:.4g}'}" for name, v in means.items())
            typer.echo(f"{benchmark}, {condition}: {', '.join(shown)}")


def _changed(settings: TaskSettings, images: Path | None, self_ensemble: bool) -> TaskSettings:
    """Return the settings with the changes from the command line."""
    evaluation = settings.evaluation
    if self_ensemble:
        evaluation = evaluation.model_copy(update={"self_ensemble": True})
    data = settings.data
    if images is not None:
        if not images.is_dir():
            raise CommandError(f"--images: {images}: no such folder")
        layout = "pairs" if (images / "input").is_dir() else "photographs"
        place = {images.resolve().name: str(images.resolve())}
        changes = {"layout": layout, "benchmarks": place, "held_out_size": None}
        data = data.model_copy(update=changes)
    return settings.model_copy(update={"evaluation": evaluation, "data": data})


def _weights(
    task: str, weights: str | None, profile: str | None, images: Path | None, settings: TaskSettings
) -> str:
    """Return the weights to test; with --images, also those in the package."""
    if weights is not None or images is None:
        return weights or f"{settings.profile}/{task}"
    return str(choose_weights(task, None, profile))


def receptive_field(
    task: TaskArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    weights: WeightsOption = None,
    position: Annotated[
        list[str] | None, typer.Option(help="centre, top left …; repeat for several.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            min=0, help="Level of Gaussian noise, σ in 8-bit units; added to other degradations."
        ),
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
    images = network_inputs(chosen, noise)
    fields = {
        name: effective_receptive_field(model, images, name).numpy()
        for name in position or ["centre"]
    }
    typer.echo(f"written to {report.save(report.receptive_field(fields), output)}")


def _load_on_device(weights: str, device: str, task: str) -> Network:
    from eamamba.checkpoint import find_weights, load_model

    file = find_weights(weights)
    warn_of_other_task(file, task)
    return load_model(file, own_device(choose_device(device)))
