"""``eamamba train --photos | --pairs``: training on your own images, without a settings file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eamamba import paths
from eamamba.cli.choices import CommandError
from eamamba.config import TaskSettings, load_settings
from eamamba.files import write_atomically

if TYPE_CHECKING:
    from eamamba.evaluation.table import Metrics
    from eamamba.network import Network

REPORT = "report.md"

PhotosOption = Annotated[
    Path | None,
    typer.Option(help="Train on the clean photographs in a folder; needs --degradation and -o."),
]
PairsOption = Annotated[
    Path | None,
    typer.Option(help="Train on pairs in the subfolders input and target of a folder; needs -o."),
]
DegradationOption = Annotated[
    str | None, typer.Option(help="Degradation to undo, such as gaussian_noise or motion_blur.")
]
IterationsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Training steps on your own images: more is better, but slower."),
]


def own_settings(
    photos: Path | None,
    pairs: Path | None,
    degradation: str | None,
    iterations: int | None,
    profile: str,
    output: Path | None,
) -> TaskSettings:
    """Return the settings to train on your own images, and link these into the output folder."""
    from eamamba.training.own_images import own_pairs, own_photographs

    if photos is not None and pairs is not None:
        raise CommandError("--photos and --pairs exclude each other; choose one")
    if output is None:
        raise CommandError("name the folder for the results with --output FOLDER")
    recipes = load_settings(paths.settings_file(), profile)
    if pairs is not None:
        if degradation is not None:
            raise CommandError(
                "--degradation: not used with --pairs, which are already degraded; leave it out"
            )
        return own_pairs(recipes, pairs, output, iterations)
    if degradation is None:
        known = sorted(task.data.degradation for task in recipes.tasks.values())
        raise CommandError(f"--photos needs --degradation, one of {', '.join(known)}")
    assert photos is not None
    return own_photographs(recipes, photos, degradation, output, iterations)


def unreported_weights(folder: Path) -> Path | None:
    """Return finished weights whose test was interrupted; None if there are none."""
    weights = folder / "model.safetensors"
    return weights if weights.is_file() and not (folder / REPORT).is_file() else None


def report_on(weights: Path, settings: TaskSettings, device: str) -> Path:
    """Test weights on the images that were held out, and write a report beside them.

    Returns
    -------
    Path
        The report: Markdown, with a curve and a comparison.
    """
    import pandas as pd

    from eamamba import report
    from eamamba.checkpoint import load_model
    from eamamba.evaluation import evaluate
    from eamamba.training.own_images import HELD_OUT

    folder = weights.parent
    model = load_model(weights, device)
    metrics = evaluate(model, settings, folder, resume=True)
    means = (values["psnr_input_db"] for values in metrics[HELD_OUT].values())
    if None in means:
        raise CommandError(
            f"{folder}: the weights are written, but there is no report: an image that was held "
            "out is the same before and after, so its PSNR is infinite"
        )
    curve = pd.read_csv(folder / "training.csv")
    report.save(report.training_curve(curve), folder / "training_curve.png")
    _draw_comparison(model, settings, metrics, folder)
    text = _report(settings, metrics, folder)
    write_atomically(folder / REPORT, text.encode(errors="backslashreplace"))
    return folder / REPORT


def _draw_comparison(
    model: Network, settings: TaskSettings, metrics: Metrics, folder: Path
) -> None:
    """Draw the held-out images with the best, the median and the worst gain."""
    import pandas as pd

    from eamamba import report
    from eamamba.evaluation import examples

    condition = report.middle(report.scores(metrics)["condition"].unique().tolist())
    per_image = pd.read_csv(
        folder / "per_image.csv", dtype={"image": str}
    )  # even if they are digits
    names = report.pick(per_image, condition)
    found = {one.name: one for one in examples(model, settings, condition, names.values())}
    chosen: dict[str, Any] = {label: found[name] for label, name in names.items()}
    report.save(report.comparison(chosen, condition), folder / "comparison.jpg")


def _report(settings: TaskSettings, metrics: Metrics, folder: Path) -> str:
    from eamamba import report
    from eamamba.datasets import check

    found = check(settings.data).set_index("use")["found"]
    means = report.scores(metrics)
    table = report.markdown(means.drop(columns=["benchmark"]).round(3))
    learnt = settings.data.degradation if settings.data.layout == "photographs" else "pairs"
    return f"""# {settings.title}

Learnt from {found["training"]} images ({learnt}) in {settings.training.iterations} iterations.

## On {found["benchmark"]} images that were held out

{report.protocol_label(settings.evaluation.protocol)}; gains in dB, with a 95 % bootstrap interval:

{table}
![before and after](comparison.jpg)

![training curve](training_curve.png)

## Use it

    eamamba restore PHOTO --weights {folder / "model.safetensors"} --output OUT
"""
