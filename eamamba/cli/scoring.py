"""``eamamba score``: score any restored images by the protocols of the paper."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba.cli.choices import CommandError, protocol_of
from eamamba.config import EAMambaError, ProtocolSettings
from eamamba.files import write_atomically

if TYPE_CHECKING:
    from eamamba.images import Photo

# A 16-bit file whose maximum fits into 8 bits holds unscaled 8-bit values.
_LARGEST_8_BIT = 255.5 / 65535


@dataclass
class Row:
    """One restored image: its scores, or why it has none."""

    restored: str
    truth: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def score(
    restored: Annotated[Path, typer.Argument(help="A restored image, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="The ground truth: a file, or a folder.")],
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="Task whose protocol to use, such as derain.")
    ],
    table: Annotated[
        Path | None, typer.Option("--csv", help="CSV file for the scores of every image.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score restored images against the ground truth, by the protocol of one of the paper's tables.

    In folders, images are matched by name without suffix. An image that cannot be scored is
    reported with the reason and left out of the mean.

    Example: `eamamba score restored/ Rain100H/target/ --protocol derain --csv scores.csv`
    """
    chosen = protocol_of(protocol)
    rows = [_score_pair(row, chosen) for row in _pairs(restored, truth)]
    good = [row.scores for row in rows if not row.problem]
    means = {name: math.fsum(s[name] for s in good) / len(good) for name in (good or [{}])[0]}
    for row in rows:
        if row.problem:
            typer.echo(f"error: {row.problem}", err=True)
    if table is not None:
        write_atomically(table, _as_csv(rows).encode(errors="backslashreplace"))
    facts = {"protocol": protocol} | chosen.model_dump(exclude={"tile"})
    if as_json:
        shown = {name: value if math.isfinite(value) else None for name, value in means.items()}
        counts = {"images": len(good), "failed": len(rows) - len(good)}
        typer.echo(json.dumps(facts | counts | shown))
    else:
        _show(rows, means, chosen, len(good))
    if len(good) < len(rows):
        raise typer.Exit(2)


def _show(
    rows: list[Row], means: dict[str, float], protocol: ProtocolSettings, images: int
) -> None:
    colour = "luminance (Y)" if protocol.colour == "y" else "RGB"
    rounded = ", images rounded to 8 bits" if protocol.eight_bit else ""
    cut = f", {protocol.border} pixels cut from each border" if protocol.border else ""
    typer.echo(f"PSNR and {protocol.ssim} SSIM of {colour}{rounded}{cut}")
    for row in rows:
        if not row.problem:
            typer.echo(f"{row.restored}: {_shown(row.scores)}")
    if len(rows) > 1 and means:
        typer.echo(f"mean of {images} images: {_shown(means)}")


def _shown(scores: dict[str, float]) -> str:
    return ", ".join(
        f"{name.removesuffix('_db')} {value:.2f} dB" if name.endswith("_db")
        else f"{name} {value:.4f}"
        for name, value in scores.items()
    )  # fmt: skip


def _pairs(restored: Path, truth: Path) -> list[Row]:
    """Return the matching images; one without a partner has a problem."""
    from eamamba.datasets.names import natural
    from eamamba.images import list_images

    if os.path.isdir(restored) != os.path.isdir(truth):
        raise CommandError(f"{restored} and {truth}: expected two files or two folders")
    if not os.path.isdir(restored):
        return [Row(str(restored), str(truth))]
    known = {natural(path.stem): path for path in list_images(truth)}
    rows = []
    for path in list_images(restored):
        partner = known.get(natural(path.stem))
        missing = f"{path}: no image of this name in {truth}" if partner is None else ""
        rows.append(Row(str(path), str(partner or ""), problem=missing))
    return rows


def _score_pair(row: Row, protocol: ProtocolSettings) -> Row:
    from eamamba.evaluation import score as score_image
    from eamamba.images import read_photo

    if row.problem:
        return row
    try:
        restored, truth = read_photo(row.restored), read_photo(row.truth)
        if reason := _mismatch(restored, truth):
            row.problem = f"{row.restored}: {reason}"
        else:
            row.scores = score_image(restored.rgb, truth.rgb, protocol)
    except EAMambaError as error:
        reason = " ".join(str(error).split())
        row.problem = reason if row.restored in reason else f"{row.restored}: {reason}"
    return row


def _mismatch(restored: Photo, truth: Photo) -> str:
    """Return why two images cannot be compared, or an empty string."""
    (height, width), (high, wide) = restored.rgb.shape[1:], truth.rgb.shape[1:]
    sizes = f"{width}×{height} pixels, the ground truth {wide}×{high}"
    if (height, width) == (wide, high) and height != width:
        return f"{sizes}; one of them is rotated by 90°"
    if (height, width) != (high, wide):
        scale, rest = divmod(high, height)
        if rest == 0 and scale > 1 and wide == scale * width:
            return f"{sizes}; pass the image enlarged {scale} times, not the small one"
        if height >= high and width >= wide:
            return f"{sizes}; crop the padding"
        return f"{sizes}; expected equal sizes; check the pairing, or whether one was cropped"
    for photo, name in ((restored, "this image"), (truth, "the ground truth")):
        if photo.bits == 16 and 0 < float(photo.rgb.max()) < _LARGEST_8_BIT:
            return (
                f"{name} has 16 bits per channel but no value above 255; "
                "store it with 8 bits, or multiply its values by 257"
            )
    return ""


def _as_csv(rows: list[Row]) -> str:
    names = list(next((row.scores for row in rows if row.scores), {}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["restored", "truth", *names, "problem"])
    for row in rows:
        values = [f"{row.scores[name]:.6g}" if row.scores else "" for name in names]
        writer.writerow([row.restored, row.truth, *values, row.problem])
    return text.getvalue()
