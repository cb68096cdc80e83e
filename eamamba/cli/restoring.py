"""``eamamba restore``: photographs in, photographs out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from eamamba.cli.batch import Method, restore_all
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    WeightsOption,
    choose_device,
    choose_weights,
    protocol_of,
)
from eamamba.cli.jobs import plan_jobs, with_truths
from eamamba.config import ProtocolSettings, SettingsError

if TYPE_CHECKING:
    from eamamba.network import Network
    from eamamba.restore import InBfloat16, SelfEnsemble

ENSEMBLES: dict[str | None, SelfEnsemble] = {None: 0, "4": 4, "8": 8}

StrengthOption = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="How much of the restoration to keep: 0 is the photo, 1 all of it."
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        help="float32: the same pixels on every machine. bfloat16: faster on some, slightly less "
        "exact. auto: the faster one here, timed once."
    ),
]
EnsembleOption = Annotated[
    Literal["4", "8"] | None,
    typer.Option("--self-ensemble", help="Average over 4 or 8 turned copies: better, slower."),
]
TileOption = Annotated[
    int | None,
    typer.Option(min=16, help="Tile size in pixels. Default: as large as memory allows."),
]
CompareOption = Annotated[
    bool,
    typer.Option("--compare", help="Also draw before and after with details, in a folder compare."),
]
TruthOption = Annotated[
    Path | None,
    typer.Option(help="Ground truth, a file or folder, for PSNR and SSIM by the task's protocol."),
]


def restore(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Image files or folders of images.")
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT", help="A file for one photo, or a folder."),
    ],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="What to restore, such as denoise_gaussian.")
    ] = None,
    weights: WeightsOption = None,
    profile: ProfileOption = None,
    strength: StrengthOption = 1.0,
    precision: PrecisionOption = "float32",
    self_ensemble: EnsembleOption = None,
    tile: TileOption = None,
    device: DeviceOption = "auto",
    compare: CompareOption = False,
    truth: TruthOption = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Restore subfolders too, and keep them.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out what an earlier run has written.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Allow replacing the input files.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each photo and a last one.")
    ] = False,
) -> None:
    """Restore photographs.

    Bit depth, grayscale, transparency and colour profile are kept. A file that cannot be read does
    not stop the others. The denoisers estimate the noise themselves: where they take away too much
    or too little, say so with --strength.

    Example: `eamamba restore holiday/ -t denoise_real -o restored/ --recursive --compare`
    """
    # Pillow warns of odd metadata and large sizes; neither hinders reading the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if overwrite and skip_existing:
        raise CommandError("--overwrite and --skip-existing contradict each other; choose one")
    jobs, failures = plan_jobs(photos, output, overwrite=overwrite, recursive=recursive)
    if truth is not None:
        jobs = with_truths(jobs, truth, Path(output))
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    outcomes = []
    if jobs:
        file = choose_weights(task, weights, profile)
        model, how = _prepare(file, device, precision)
        how |= {"strength": strength, "self_ensemble": int(self_ensemble or 0)}
        typer.echo(json.dumps(how) if as_json else _introduction(how))
        method = Method(
            model,
            self_ensemble=ENSEMBLES[self_ensemble],
            tile=tile or "auto",
            strength=strength,
            compare=compare,
            protocol=_protocol(file, task),
            skip_existing=skip_existing,
        )
        outcomes = restore_all(method, jobs, as_json=as_json)
    if failures or any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(2)


def _prepare(
    file: Path, device: str, precision: Literal["auto", "float32", "bfloat16"]
) -> tuple[Network | InBfloat16, dict[str, Any]]:
    """Load the network, and return it with the facts that a log should hold."""
    from eamamba.checkpoint import load_model
    from eamamba.restore import InBfloat16, with_precision

    place = choose_device(device)
    model = with_precision(load_model(file, place), precision)
    used = "bfloat16" if isinstance(model, InBfloat16) else "float32"
    return model, {"weights": str(file), "device": str(place), "precision": used}


def _introduction(how: dict[str, Any]) -> str:
    rounded = ", computing in bfloat16" if how["precision"] == "bfloat16" else ""
    return f"weights: {how['weights']}{rounded}"


def _protocol(file: Path, task: str | None) -> ProtocolSettings:
    """Return the protocol of the task that the weights are for, or plain RGB scores."""
    from eamamba.checkpoint import read_header

    trained_for = read_header(file)["task"] if file.suffix.lower() == ".safetensors" else None
    try:
        return protocol_of(trained_for or task or "")
    except SettingsError:
        return ProtocolSettings()
