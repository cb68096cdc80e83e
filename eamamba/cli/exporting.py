"""``eamamba export``: a network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import CommandError

if TYPE_CHECKING:
    from eamamba.export import Format
    from eamamba.network import Network

HalfOption = Annotated[
    bool, typer.Option("--half", help="Store weights in half precision (not in .pt2).")
]
Int8Option = Annotated[
    bool, typer.Option("--int8", help="Store most weights in one byte each (.safetensors).")
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Compare its output with PyTorch's at three sizes.")
]
LICENSE = "Apache-2.0"
"""Licence of the weights in the package; that of other weights is unknown."""


def export(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="TASK|WEIGHTS", help="Task with weights, PROFILE/TASK, or a weights file."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write: .onnx, .pt2 or .safetensors."
        ),
    ],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="onnx, pt2 (torch.export) or safetensors. Default: by FILE's suffix."
        ),
    ] = None,
    half: HalfOption = False,
    int8: Int8Option = False,
    check: CheckOption = False,
) -> None:
    """Write a network as an ONNX model, a program of torch.export, or a weights file.

    Each takes any number of images of any size in multiples of the network's (8;
    super-resolution: 1). ONNX needs the extra "export" of this package.
    """
    from eamamba.checkpoint import find_weights, load_model
    from eamamba.export import check_possible, round_to_half
    from eamamba.export import export as write

    chosen = _format(output, file_format)
    check_possible(chosen, half, int8, run=check)
    file = find_weights(weights)
    _check_output(output, file)
    model = load_model(file)
    typer.echo(f"weights: {file}")  # first, because tracing the network takes up to a minute
    if half:
        model = round_to_half(model)
    write(model, output, chosen, half=half, int8=int8, **_origin(file))
    typer.echo(f"written to {output}, {output.stat().st_size / 1e6:.1f} MB")
    if check:
        _compare(load_model(output) if int8 else model, output, chosen)


def _origin(weights: Path) -> dict[str, str | None]:
    """Return the task and the licence of weights, where they are known."""
    from eamamba.checkpoint import read_header

    task = read_header(weights)["task"] if weights.suffix.lower() == ".safetensors" else None
    ours = weights.resolve().parent == paths.PRETRAINED.resolve()
    return {"task": task, "license": LICENSE if ours else None}


def _check_output(output: Path, weights: Path) -> None:
    from eamamba.images import check_place

    check_place(output)
    if output.exists() and output.samefile(weights):
        raise CommandError(f"{output}: would replace the weights; choose another name")


def _format(output: Path, requested: str | None) -> Format:
    """Return the requested format or that of the file's suffix; they must agree."""
    from eamamba.export import FORMATS

    known: dict[str, Format] = {name: name for name in FORMATS}
    named = known.get(output.suffix.lower().removeprefix("."))
    if requested is None and named is None:
        endings = " or ".join(f".{name}" for name in FORMATS)
        raise CommandError(f"{output}: expected a file ending in {endings}, or --format")
    chosen = named if requested is None else known.get(requested)
    if chosen is None:
        raise CommandError(f"--format: no format {requested!r}; expected {' or '.join(FORMATS)}")
    if named not in (None, chosen):
        raise CommandError(f"{output}: the suffix means {named}, but --format is {chosen}")
    return chosen


def _compare(model: Network, file: Path, file_format: Format) -> None:
    from eamamba.export import CHECKED, TOLERANCE, ExportError, largest_difference

    differences = []
    for shape in CHECKED:
        differences.append(largest_difference(model, file, file_format, shape))
        typer.echo(f"{'×'.join(map(str, shape))}: largest difference {differences[-1]:.1e}")
    if not all(difference <= TOLERANCE for difference in differences):  # false for NaN
        raise ExportError(
            f"{file}: computes something different from the network; please report this"
        )
    worst = max(differences)
    typer.echo(f"largest difference to PyTorch: {worst:.1e} (1 is the range of the image)")
