"""``eamamba restore``: photographs in, photographs out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from eamamba.cli.batch import Method, restore_all
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    WeightsOption,
    choose_device,
    choose_weights,
    complete_weights,
    protocol_of,
)
from eamamba.cli.jobs import plan_jobs, with_partners
from eamamba.cli.launched import is_main_process, own_device, process_count, process_number
from eamamba.config import EAMambaError, ProtocolSettings, SettingsError

if TYPE_CHECKING:
    from eamamba.restore import Captured, SelfEnsemble

ENSEMBLES: dict[str | None, SelfEnsemble] = {None: 0, "4": 4, "8": 8}

StrengthOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="How much of the restoration to apply: 0 (none) to 1 (all)."),
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
    typer.Option("--self-ensemble", help="Average over 4 or 8 flipped copies: better, slower."),
]
TileOption = Annotated[
    int | None,
    typer.Option(min=16, help="Tile size in pixels. Default: as large as memory allows."),
]
CompareOption = Annotated[
    bool,
    typer.Option(
        "--compare", help="Also draw before and after with details, in a subfolder compare."
    ),
]
TruthOption = Annotated[
    Path | None,
    typer.Option(help="Ground truth, a file or folder, for PSNR and SSIM by the task's protocol."),
]
RightOption = Annotated[
    Path | None,
    typer.Option(
        help="Right views, a file or folder, if PHOTO is the left view of a dual-pixel sensor."
    ),
]

PhotosArgument = Annotated[
    list[str], typer.Argument(metavar="PHOTO", help="Image files or folders of images.")
]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="A file for one photo, or a folder.")
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        "-t",
        help="What to restore, such as denoise_gaussian.",
        autocompletion=complete_weights,
    ),
]
RecursiveOption = Annotated[
    bool, typer.Option("--recursive", "-r", help="Include subfolders, and keep their structure.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-existing", help="Skip photos whose output exists.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Allow replacing the input files.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a line of JSON for each photo, then a summary.")
]


def restore(
    photos: PhotosArgument,
    output: OutputOption,
    task: TaskOption = None,
    weights: WeightsOption = None,
    profile: ProfileOption = None,
    strength: StrengthOption = 1.0,
    precision: PrecisionOption = "float32",
    self_ensemble: EnsembleOption = None,
    tile: TileOption = None,
    device: DeviceOption = "auto",
    compare: CompareOption = False,
    truth: TruthOption = None,
    right: RightOption = None,
    recursive: RecursiveOption = False,
    skip_existing: SkipOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restore photographs.

    Bit depth, grayscale, transparency and colour profile are kept. A file that cannot be read does
    not stop the others. The denoisers estimate the noise themselves; if they remove too much, lower
    --strength.

    Example: `eamamba restore holiday/ -t denoise_real -o restored/ --recursive --compare`
    """
    if overwrite and skip_existing:
        raise CommandError("--overwrite and --skip-existing contradict each other; choose one")
    jobs, failures = plan_jobs(photos, output, overwrite=overwrite, recursive=recursive)
    jobs = with_partners(jobs, Path(output), truth=truth, right=right)
    _report(failures)
    if not jobs:
        raise typer.Exit(2)
    file = choose_weights(task, weights, profile)
    method = Method(
        _prepare(file, device, precision),
        self_ensemble=ENSEMBLES[self_ensemble],
        tile=tile or "auto",
        strength=strength,
        compare=compare,
        protocol=_protocol(file, task),
        skip_existing=skip_existing,
    )
    _announce_weights(file, method, as_json)
    outcomes = restore_all(method, jobs[process_number() :: process_count()], as_json=as_json)
    if failures or any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(2)


def _report(failures: list[EAMambaError]) -> None:
    if is_main_process():
        typer.echo("".join(f"error: {failure}\n" for failure in failures), err=True, nl=False)


def _prepare(
    file: Path, device: str, precision: Literal["auto", "float32", "bfloat16"]
) -> Captured:
    from eamamba.checkpoint import load_model
    from eamamba.restore import Captured, with_precision

    return Captured(with_precision(load_model(file, own_device(choose_device(device))), precision))


def _announce_weights(file: Path, method: Method, as_json: bool) -> None:
    """Print which weights are used and how, before the first photo."""
    from eamamba.restore import InBfloat16

    if not is_main_process():
        return
    rounded = isinstance(getattr(method.model, "network", None), InBfloat16)
    if not as_json:
        typer.echo(f"weights: {file}{', computing in bfloat16' if rounded else ''}")
        return
    how = {
        "weights": str(file),
        "precision": "bfloat16" if rounded else "float32",
        "strength": method.strength,
        "self_ensemble": method.self_ensemble,
    }
    typer.echo(json.dumps(how))


def _protocol(file: Path, task: str | None) -> ProtocolSettings:
    """Return the protocol of the task that the weights are for, or plain RGB scores."""
    from eamamba.checkpoint import read_header

    trained_for = read_header(file)["task"] if file.suffix.lower() == ".safetensors" else None
    try:
        return protocol_of(trained_for or task or "")
    except SettingsError:
        return ProtocolSettings()
