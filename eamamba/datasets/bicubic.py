"""Super-resolution sets: large images, and small ones made from them with a bicubic kernel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from eamamba.config import EAMambaError
from eamamba.datasets import names
from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import folders_in, found_in
from eamamba.datasets.pairs import Pair, PairedImages, by_name, size_of, without_partner
from eamamba.degradations import bicubic_downsample, crop_to_multiple
from eamamba.images import read_image

Scale = Literal[2, 3, 4]

_UNLIKE = 0.06
"""Root-mean-square difference above which a small image was not made from a large one: kernels
and rounding account for up to 0.02, a different picture for 0.2."""


@dataclass(frozen=True)
class ShrunkPair(Pair):
    """A large image only; the small one is computed from it and rounded to 8 bits like a file."""

    degraded: tuple[Path, ...] = field(default=(), init=False)

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded (3, h, w) and clean (3, h·scale, w·scale)."""
        clean = read_image(self.clean)
        self._border_to_crop([], size_of(clean))
        clean = crop_to_multiple(clean, self.scale)
        small = bicubic_downsample(clean, self.scale).clamp(0, 1)
        return small.mul(255).round().div(255), clean


@dataclass(frozen=True)
class NumberedPair(Pair):
    """A pair matched by number, whose pictures are therefore compared as well."""

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded and clean; `DatasetError` if one was not made from the other."""
        degraded, clean = super().read()
        shrunk = bicubic_downsample(crop_to_multiple(clean, self.scale), self.scale)
        if (shrunk - degraded).square().mean().sqrt() > _UNLIKE:
            raise DatasetError(
                f"{self.degraded[0].name} is not {self.clean.name} shrunk {self.scale} times; "
                "rename the small images after the large ones"
            )
        return degraded, clean

    def problem(self) -> str | None:
        """Read both images, and return what is wrong with them."""
        try:
            self.read()
        except EAMambaError as error:
            return str(error)
        return None


def bicubic_pairs(
    path: str | os.PathLike[str], scale: Scale, *, prefix: str | None = None, strict: bool = True
) -> PairedImages:
    """Read ``HR/NAME.png`` with ``LR_bicubic/X2/NAMEx2.png``, as in Set5, Urban100 and others.

    Also ``DIV2K_train_HR`` with ``DIV2K_train_LR_bicubic``: the two folder names may have any
    common prefix (`prefix`, if given). Without a folder ``LR_bicubic`` the small images are
    computed from the large ones. Small images may be named as in `names.large_names`, or be
    numbered in the order of the large ones (``x2/img_001_SRF_2_LR.png``, as in Set14); the pictures
    are then compared too. Without a folder HR, ``image_SRF_2/NAME_{HR,LR}.png`` is read.
    """
    root = Path(path)
    found = [f.name.removesuffix("HR") for f in folders_in(root) if f.name.endswith("HR")]
    prefixes = sorted(p for p in found if prefix in (None, p))
    if not prefixes and (root / f"image_SRF_{scale}").is_dir():
        return _in_one_folder(root, scale, strict)
    if len(prefixes) != 1:
        wanted = "one folder whose name ends in HR" if prefix is None else f"{prefix}HR"
        listed = ", ".join(f"{p}HR" for p in sorted(found)) or "none"
        raise DatasetError(f"{root}: {listed} found; expected {wanted}")
    large, small = root / f"{prefixes[0]}HR", root / f"{prefixes[0]}LR_bicubic"
    problems: list[str] = []
    notes: list[str] = []
    high = by_name(found_in(large, problems, notes), problems)
    if not small.is_dir():
        alone = [ShrunkPair(name, file, scale=scale) for name, file in high.items()]
        return PairedImages(root, alone, problems, notes=notes, strict=strict)
    folder = small / (f"x{scale}" if (small / f"x{scale}").is_dir() else f"X{scale}")
    low = by_name(found_in(folder, problems, notes), problems)
    pairs = _matched(low, high, scale, problems) if low and high else []
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)


def _matched(
    low: Mapping[str, Path], high: Mapping[str, Path], scale: Scale, problems: list[str]
) -> list[Pair]:
    chosen = names.partners(low, high, {name: names.large_names(name, scale) for name in low})
    kind: type[Pair] = Pair
    if not chosen:
        chosen, kind = names.numbered(low, high, scale), NumberedPair
    problems += without_partner(low, high, chosen)
    for other, number in Counter(chosen.values()).items():
        if number > 1:
            rivals = sorted(low[name].name for name in chosen if chosen[name] == other)
            problems.append(f"{' and '.join(rivals)} both belong to {high[other].name}")
    return [kind(name, (low[name],), high[other], "", scale) for name, other in chosen.items()]


def _in_one_folder(root: Path, scale: Scale, strict: bool) -> PairedImages:
    problems: list[str] = []
    notes: list[str] = []
    folder = root / f"image_SRF_{scale}"
    files = by_name(found_in(folder, problems, notes), problems)
    low, high = (
        {name: file for name, file in files.items() if name.endswith(f"_SRF_{scale}_{kind}")}
        for kind in ("LR", "HR")
    )
    if others := len(files) - len(low) - len(high):
        notes.append(f"{folder}: skipped {others} image(s) with other names")
    pairs = _matched(low, high, scale, problems)
    return PairedImages(root, pairs, problems, notes=notes, strict=strict)
