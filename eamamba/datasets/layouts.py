"""Published data sets as their authors' archives unpack, one function per layout.

GoPro, HIDE, Rain13K and the rain benchmarks need none: `PairedFolder` reads their folders ``input``
and ``target``; `bicubic_pairs` has its own module. All functions return pairs and raise
`DatasetError` with every problem in one line, unless `strict` is False: see `PairedImages`.
Suffixes may be in upper or lower case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from eamamba.datasets import names
from eamamba.datasets.bicubic import Scale, bicubic_pairs
from eamamba.datasets.folders import folders_in, found_in
from eamamba.datasets.pairs import (
    Pair,
    PairedFolder,
    PairedImages,
    ReadablePair,
    by_name,
    without_partner,
)
from eamamba.datasets.sidd_blocks import sidd_blocks

AnyPath = str | os.PathLike[str]

RESIDE_BORDER = 10
"""Extra pixels on every side of the clean images of SOTS-indoor (640×480 for 620×460)."""


def reside(path: AnyPath, *, strict: bool = True) -> PairedImages:
    """Read RESIDE: ``hazy/1400_10.png`` or ``hazy/0001_0.8_0.2.jpg`` with ``gt/1400.png``.

    The clean images may be in ``clear`` instead of ``gt``, as in the training sets. If they are
    larger by 10 pixels on every side, as in SOTS-indoor, they are cropped.
    """
    root = Path(path)
    known = {folder.name.lower(): folder.name for folder in folders_in(root)}
    clear = next((known[name] for name in ("gt", "clear") if name in known), "gt")
    return PairedFolder(
        root,
        degraded=known.get("hazy", "hazy"),
        clean=clear,
        partners=names.prefixes,
        border=RESIDE_BORDER,
        strict=strict,
    )


def sidd(path: AnyPath, *, strict: bool = True) -> PairedImages:
    """Read SIDD-Medium sRGB: ``Data/<scene>/NNNN_NOISY_SRGB_010.PNG`` with ``..._GT_...``."""
    root = Path(path)
    pairs: list[Pair] = []
    problems: list[str] = []
    notes: list[str] = []
    for scene in folders_in(root / "Data"):
        files = by_name(found_in(scene, problems, notes), problems)
        pattern = r".*_(?P<kind>NOISY|GT)_SRGB_.*"
        found = _by_kind(files, pattern, scene, notes).values()
        pairs += [
            Pair(f"{scene.name}/{both['NOISY'].stem}", (both["NOISY"],), both["GT"])
            for both in found
            if len(both) == 2
        ]
        problems += [
            f"{scene.name}/{both[kind].name} has no partner"
            for kind in ("NOISY", "GT")
            for both in found
            if both.keys() == {kind}
        ]
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)


def _by_kind(
    files: Mapping[str, Path], pattern: str, folder: Path, notes: list[str]
) -> dict[str, dict[str, Path]]:
    """Group the files of one folder whose names differ only in the kind of image.

    Returns
    -------
    dict
        Common part of a pair's names -> kind, in capitals -> file.
    """
    found: dict[str, dict[str, Path]] = {}
    matches = {name: re.fullmatch(pattern, name, re.IGNORECASE) for name in files}
    for name, match in matches.items():
        if match:
            common = name[: match.start("kind")] + name[match.end("kind") :]
            found.setdefault(common, {})[match["kind"].upper()] = files[name]
    if others := sum(match is None for match in matches.values()):
        notes.append(f"{folder}: skipped {others} image(s) with other names")
    return found


def dpdd(
    path: AnyPath,
    split: Literal["train", "val", "test"],
    *,
    dual_pixel: bool = False,
    strict: bool = True,
) -> PairedImages:
    """Read DPDD: ``<split>_c/{source,target}``, and ``_l``, ``_r`` for the dual-pixel views.

    The two photographs of a scene have different names, the numbers of consecutive shots:
    `names.same_or_consecutive` matches them. The test images are grouped into indoor and outdoor
    scenes if ``indoor_labels.npy`` and ``outdoor_labels.npy``, lists of positions in the order of
    the targets' names, are beside the folders.
    """
    root = Path(path)
    problems: list[str] = []
    notes: list[str] = []
    sources = [f"{split}_{view}/source" for view in ("lr" if dual_pixel else "c")]
    folders = [*sources, f"{split}_c/target"]
    sides = [by_name(found_in(root / folder, problems, notes), problems) for folder in folders]
    if problems:
        return PairedImages(root, [], problems, notes=notes, strict=strict)
    *views, clean = sides
    if len({len(side) for side in sides}) > 1:
        numbers = (f"{len(side)} in {folder}" for side, folder in zip(sides, folders, strict=True))
        problems.append(f"unequal numbers of images: {', '.join(numbers)}")
    partner_of: dict[str, list[Path]] = {name: [] for name in clean}
    for view, folder in zip(views, sources, strict=True):
        chosen = names.same_or_consecutive(list(view), list(clean))
        for name, other in chosen.items():
            partner_of[other].append(view[name])
        problems += _unmatched_shots(view, clean, chosen, folder)
    groups = _read_dpdd_groups(root, problems) if split == "test" else {}
    pairs = [
        Pair(name, tuple(partner_of[name]), clean[name], groups.get(number, ""))
        for number, name in enumerate(sorted(clean, key=names.natural))
        if len(partner_of[name]) == len(views)
    ]
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)


def _unmatched_shots(
    view: Mapping[str, Path], clean: Mapping[str, Path], chosen: Mapping[str, str], folder: str
) -> list[str]:
    if chosen:
        return [f"{folder.split('/')[0]}/{line}" for line in without_partner(view, clean, chosen)]
    return [
        f"{folder}: its names are neither those of target nor shots at most {names.SHOTS_APART} "
        "numbers apart, so it is unknown which images belong together; give both of a pair one name"
    ]


def _read_dpdd_groups(root: Path, problems: list[str]) -> dict[int, str]:
    groups: dict[int, str] = {}
    for group in ("indoor", "outdoor"):
        file = root / f"{group}_labels.npy"
        if file.is_file():
            try:
                groups |= {int(position): group for position in np.load(file).ravel()}
            except (ValueError, OSError) as error:
                problems.append(f"{file.name}: expected a list of positions ({error})")
    return groups


def realsr(
    path: AnyPath, split: Literal["Train", "Test"], scale: Scale, *, strict: bool = True
) -> PairedImages:
    """Read RealSR: ``{Canon,Nikon}/<split>/<scale>/NAME_{HR,LR<scale>}.png``, of equal size."""
    root = Path(path)
    pairs: list[Pair] = []
    problems: list[str] = []
    notes: list[str] = []
    for camera in ("Canon", "Nikon"):
        folder = root / camera / split / str(scale)
        files = by_name(found_in(folder, problems, notes), problems)
        low, high = f"LR{scale}", "HR"
        for common, both in _by_kind(files, f".+_(?P<kind>{low}|{high})", folder, notes).items():
            name = common.removesuffix("_")
            if len(both) == 2:
                pairs.append(Pair(f"{camera}/{name}", (both[low],), both[high]))
                continue
            (file,) = both.values()
            absent = f"{name}_{low if high in both else high}{file.suffix}"
            problems.append(f"{camera}/{split}/{scale}/{name}: no {absent}")
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)


def city100(path: AnyPath, *, strict: bool = True) -> PairedImages:
    """Read City100: ``001L.PNG``, already enlarged, with ``001H.PNG`` of the longer lens."""
    root = Path(path)
    problems: list[str] = []
    notes: list[str] = []
    files = by_name(found_in(root, problems, notes), problems)
    found = _by_kind(files, r"[0-9]+(?P<kind>L|H)", root, notes)
    pairs = [Pair(n, (both["L"],), both["H"]) for n, both in found.items() if len(both) == 2]
    for both in found.values():
        if len(both) == 1:
            problems.append(f"{next(iter(both.values())).name} has no partner")
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)


@dataclass(frozen=True)
class Layout:
    """How a published data set is read.

    Attributes
    ----------
    train, test : function of a folder
        The training set and the test set; every problem raises `DatasetError`.
    found, found_test : function of a folder
        The same without opening any file; see `strict` of `PairedImages`.
    """

    train: Callable[[Path], PairedImages]
    test: Callable[[Path], Sequence[ReadablePair]]
    found: Callable[[Path], PairedImages]
    found_test: Callable[[Path], Sequence[ReadablePair]]


def _layout(
    train: Callable[..., PairedImages], test: Callable[..., PairedImages] | None = None
) -> Layout:
    test = test or train
    return Layout(train, test, partial(train, strict=False), partial(test, strict=False))


SCALES: tuple[Scale, ...] = (2, 3, 4)
LAYOUTS: dict[str, Layout] = {
    "pairs": _layout(PairedFolder),
    "sidd": Layout(sidd, sidd_blocks, partial(sidd, strict=False), sidd_blocks),
    "dpdd": _layout(partial(dpdd, split="train"), partial(dpdd, split="test")),
    "dpdd_dual_pixel": _layout(
        partial(dpdd, split="train", dual_pixel=True), partial(dpdd, split="test", dual_pixel=True)
    ),
    "reside": _layout(reside),
    "city100": _layout(city100),
}
LAYOUTS |= {
    f"realsr_x{scale}": _layout(
        partial(realsr, split="Train", scale=scale), partial(realsr, split="Test", scale=scale)
    )
    for scale in SCALES
}
LAYOUTS |= {
    f"bicubic_x{scale}": _layout(
        partial(bicubic_pairs, scale=scale, prefix="DIV2K_train_"),
        partial(bicubic_pairs, scale=scale),
    )
    for scale in SCALES
}
"""``data.layout`` of the settings -> how its folders are read (``photographs`` need no pairing)."""
