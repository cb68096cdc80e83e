"""The published data sets as their authors' archives unpack them, one function for each layout.

GoPro, HIDE, Rain13K and the rain benchmarks need none: `PairedFolder` reads their folders
``input`` and ``target``. All functions return pairs and raise `DatasetError` with every
problem in one line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import images_in
from eamamba.datasets.pairs import Pair, PairedFolder, PairedImages, ReadablePair
from eamamba.datasets.sidd_blocks import sidd_blocks
from eamamba.degradations import bicubic_downsample, crop_to_multiple
from eamamba.images import read_image

AnyPath = str | os.PathLike[str]
Scale = Literal[2, 3, 4]


def reside(path: AnyPath) -> PairedImages:
    """Read RESIDE: ``hazy/1400_10.png`` or ``hazy/0001_0.8_0.2.jpg`` with ``gt/1400.png``."""
    return PairedFolder(
        path, degraded="hazy", clean="gt", partner=lambda hazy: hazy.name.split("_")[0]
    )


def sidd(path: AnyPath) -> PairedImages:
    """Read SIDD-Medium sRGB: ``Data/<scene>/NNNN_NOISY_SRGB_010.PNG`` with ``..._GT_...``."""
    root = Path(path)
    noisy = sorted(root.glob("Data/*/*_NOISY_SRGB_*.PNG"))
    clean = sorted(root.glob("Data/*/*_GT_SRGB_*.PNG"))
    named = {file.relative_to(root).as_posix(): file for file in clean}
    pairs, problems = [], []
    for file in noisy:
        partner = named.pop(file.relative_to(root).as_posix().replace("_NOISY_", "_GT_"), None)
        if partner is None:
            problems.append(f"{file.parent.name}/{file.name} has no partner")
        else:
            pairs.append(Pair(f"{file.parent.name}/{file.stem}", (file,), partner))
    problems += [f"{file.parent.name}/{file.name} has no partner" for file in named.values()]
    return PairedImages(root, pairs, problems)


def dpdd(
    path: AnyPath, split: Literal["train", "val", "test"], *, dual_pixel: bool = False
) -> PairedImages:
    """Read DPDD: ``<split>_c/{source,target}``, and ``_l``, ``_r`` for the dual-pixel views.

    The two names of a pair differ, so files are matched in sorted order. The test images are
    grouped into indoor and outdoor scenes if ``indoor_labels.npy`` and ``outdoor_labels.npy``,
    lists of places in that order, lie beside the folders.
    """
    root = Path(path)
    sources = [f"{split}_{view}/source" for view in ("lr" if dual_pixel else "c")]
    folders = [root / source for source in sources] + [root / f"{split}_c/target"]
    problems: list[str] = []
    files: list[list[Path]] = []
    for folder in folders:
        try:
            files.append(images_in(folder))
        except DatasetError as error:
            problems.append(str(error))
    counts = {len(column) for column in files}
    if len(counts) > 1:
        numbers = ", ".join(
            f"{len(column)} in {column[0].parent.relative_to(root)}" for column in files
        )
        problems.append(f"unequal numbers of images: {numbers}")
    if problems:
        return PairedImages(root, [], problems)
    groups = _read_dpdd_groups(root, problems) if split == "test" else {}
    rows = enumerate(zip(*files, strict=True))
    pairs = [Pair(row[-1].stem, row[:-1], row[-1], groups.get(n, "")) for n, row in rows]
    return PairedImages(root, pairs, problems)


def _read_dpdd_groups(root: Path, problems: list[str]) -> dict[int, str]:
    groups: dict[int, str] = {}
    for group in ("indoor", "outdoor"):
        file = root / f"{group}_labels.npy"
        if file.is_file():
            try:
                groups |= {int(place): group for place in np.load(file).ravel()}
            except (ValueError, OSError) as error:
                problems.append(f"{file.name}: expected a list of places ({error})")
    return groups


def realsr(path: AnyPath, split: Literal["Train", "Test"], scale: Scale) -> PairedImages:
    """Read RealSR: ``{Canon,Nikon}/<split>/<scale>/NAME_{HR,LR<scale>}.png``, of equal size."""
    root, pairs, problems = Path(path), [], []
    for camera in ("Canon", "Nikon"):
        folder = root / camera / split / str(scale)
        low, high = f"_LR{scale}", "_HR"
        names = {file.stem.removesuffix(low).removesuffix(high) for file in folder.glob("*.png")}
        if not names:
            problems.append(f"{camera}/{split}/{scale}: no such folder, or no PNG files in it")
        for name in sorted(names):
            files = [folder / f"{name}{ending}.png" for ending in (low, high)]
            absent = [file.name for file in files if not file.is_file()]
            if absent:
                problems.append(f"{camera}/{split}/{scale}/{name}: no {' and no '.join(absent)}")
            else:
                pairs.append(Pair(f"{camera}/{name}", (files[0],), files[1]))
    return PairedImages(root, pairs, problems)


@dataclass(frozen=True)
class ShrunkPair(Pair):
    """A large image alone; the small one is made of it, rounded to 8 bits like a file."""

    scale: int = 1

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded (3, h, w) and clean (3, h·scale, w·scale)."""
        clean = crop_to_multiple(read_image(self.clean), self.scale)
        small = bicubic_downsample(clean, self.scale).clamp(0, 1)
        return small.mul(255).round().div(255), clean


def bicubic_pairs(path: AnyPath, scale: Scale, *, prefix: str | None = None) -> PairedImages:
    """Read ``HR/NAME.png`` with ``LR_bicubic/X2/NAMEx2.png``, as Set5, Urban100 and others.

    Also ``DIV2K_train_HR`` with ``DIV2K_train_LR_bicubic``: any common beginning of the two
    folder names will do, `prefix` if it is given. Without a folder ``LR_bicubic`` the small
    images are made of the large ones.
    """
    root = Path(path)
    found = [folder.name.removesuffix("HR") for folder in root.glob("*HR") if folder.is_dir()]
    prefixes = sorted(p for p in found if prefix in (None, p))
    if len(prefixes) != 1:
        wanted = "one folder whose name ends in HR" if prefix is None else f"{prefix}HR"
        names = ", ".join(f"{p}HR" for p in sorted(found)) or "none"
        raise DatasetError(f"{root}: {names} found; expected {wanted}")
    large, small = f"{prefixes[0]}HR", f"{prefixes[0]}LR_bicubic"
    if not (root / small).is_dir():
        files = images_in(root / large)
        return PairedImages(root, [ShrunkPair(f.stem, (), f, "", scale) for f in files])
    return PairedFolder(
        root,
        degraded=f"{small}/X{scale}",
        clean=large,
        partner=lambda low: re.sub(rf"x{scale}$", "", low.stem),
        scale=scale,
    )


@dataclass(frozen=True)
class Layout:
    """How the training set and the test set of a published data set are read."""

    train: Callable[[Path], PairedImages]
    test: Callable[[Path], Sequence[ReadablePair]]


SCALES: tuple[Scale, ...] = (2, 3, 4)
LAYOUTS: dict[str, Layout] = {
    "pairs": Layout(PairedFolder, PairedFolder),
    "sidd": Layout(sidd, sidd_blocks),
    "dpdd": Layout(partial(dpdd, split="train"), partial(dpdd, split="test")),
    "dpdd_dual_pixel": Layout(
        partial(dpdd, split="train", dual_pixel=True), partial(dpdd, split="test", dual_pixel=True)
    ),
    "reside": Layout(reside, reside),
}
LAYOUTS |= {
    f"realsr_x{scale}": Layout(
        partial(realsr, split="Train", scale=scale), partial(realsr, split="Test", scale=scale)
    )
    for scale in SCALES
}
LAYOUTS |= {
    f"bicubic_x{scale}": Layout(
        partial(bicubic_pairs, scale=scale, prefix="DIV2K_train_"),
        partial(bicubic_pairs, scale=scale),
    )
    for scale in SCALES
}
"""``data.layout`` of the settings -> how its folders are read (``photographs`` need no pairing)."""
