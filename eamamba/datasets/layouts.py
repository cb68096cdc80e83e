"""The published data sets as their authors' archives unpack them, one function for each layout.

GoPro, HIDE, Rain13K and the rain benchmarks need none: `PairedFolder` reads their folders
``input`` and ``target``. All functions return `PairedImages` and raise `DatasetError` with every
problem in one line.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import images_in
from eamamba.datasets.pairs import Pair, PairedFolder, PairedImages

AnyPath = str | os.PathLike[str]


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

    The two names of a pair differ, so files are matched in sorted order.
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
    rows = zip(*files, strict=True)
    return PairedImages(root, [Pair(row[-1].stem, tuple(row[:-1]), row[-1]) for row in rows])


def realsr(path: AnyPath, split: Literal["Train", "Test"], scale: Literal[2, 3, 4]) -> PairedImages:
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


def bicubic_pairs(path: AnyPath, scale: Literal[2, 3, 4]) -> PairedImages:
    """Read ``HR/NAME.png`` with ``LR_bicubic/X2/NAMEx2.png``, as Set5, Urban100 and others.

    Also ``DIV2K_train_HR`` with ``DIV2K_train_LR_bicubic``: any common beginning of the two
    folder names will do.
    """
    root = Path(path)
    prefixes = sorted(
        folder.name.removesuffix("HR") for folder in root.glob("*HR") if folder.is_dir()
    )
    if len(prefixes) != 1:
        found = ", ".join(f"{prefix}HR" for prefix in prefixes) or "none"
        raise DatasetError(f"{root}: {found} found; expected one folder whose name ends in HR")
    return PairedFolder(
        root,
        degraded=f"{prefixes[0]}LR_bicubic/X{scale}",
        clean=f"{prefixes[0]}HR",
        partner=lambda low: re.sub(rf"x{scale}$", "", low.stem),
        scale=scale,
    )
