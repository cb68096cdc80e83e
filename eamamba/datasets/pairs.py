"""Pairs of degraded and clean images on disk, checked as a whole before the first is used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import torch
from PIL import Image
from torch import Tensor

from eamamba.config import EAMambaError
from eamamba.datasets import names
from eamamba.datasets.errors import DatasetError, refuse
from eamamba.datasets.folders import found_in
from eamamba.images import ImageError, read_image

_ORIENTATION_TAG = 0x0112
_ON_THE_SIDE = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


class ReadablePair(Protocol):
    """A degraded image and its clean counterpart, read when they are asked for.

    Attributes
    ----------
    name : str
        What tables call the pair.
    group : str
        Which part of its set the pair belongs to, if the figures are given for parts too.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def group(self) -> str: ...  # noqa: D102

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded, (3 or 6, h, w), and clean, (3, H, W); float32 in [0, 1]."""


Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Pair:
    """Where a degraded image and its clean counterpart lie.

    Attributes
    ----------
    name : str
        What tables call the pair.
    degraded : tuple of Path
        One file, or the left and the right view of a dual-pixel photograph.
    clean : Path
    group : str
        Which part of its set the pair belongs to, such as ``indoor``; empty for no part.
    scale : int
        How many times larger the clean image is; pixels that do not fill a whole one of the
        degraded image have no counterpart.
    border : int
        Pixels that the clean image may have more on every side; they are cut off.
    """

    name: str
    degraded: tuple[Path, ...]
    clean: Path
    group: str = ""
    scale: int = 1
    border: int = 0

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded, (3 or 6, h, w), and clean, (3, H, W); float32 in [0, 1].

        Raises
        ------
        ImageError
            A file cannot be read.
        DatasetError
            The sizes do not fit each other.
        """
        views, clean = [read_image(path) for path in self.degraded], read_image(self.clean)
        cut = self._cut([size_of(view) for view in views], size_of(clean))
        height, width = clean.shape[-2:]
        return torch.cat(views), clean[:, cut : height - cut, cut : width - cut].contiguous()

    def problem(self) -> str | None:
        """Open the files far enough to know their sizes, and say what is wrong with them."""
        try:
            self._cut([upright_size(path) for path in self.degraded], upright_size(self.clean))
        except EAMambaError as error:
            return str(error)
        return None

    def _cut(self, views: Sequence[Size], clean: Size) -> int:
        """Return how many pixels to cut off every side of the clean image."""
        misfits: list[Size] = []
        for border in dict.fromkeys((0, self.border)):
            expected = tuple((side - 2 * border) // self.scale for side in clean)
            unequal = [size for size in views if size != expected]
            if not unequal and min(expected) > 0:
                return border
            misfits = misfits or unequal
        width, height = (misfits or [clean])[0]
        raise DatasetError(
            f"{self.name}: {width}x{height} pixels degraded, {clean[0]}x{clean[1]} clean"
            + (f"; expected {self.scale} times the size" if self.scale > 1 else "")
        )


class PairedImages(Sequence[Pair]):
    """Pairs whose files are all there, can be opened, and fit each other.

    Parameters
    ----------
    source : Path
        What to call the data set in an error.
    pairs : sequence of Pair
        All of one scale.
    problems : sequence of str
        What is already known to be wrong.
    notes : sequence of str
        What was left out.
    strict : bool
        False: raise nothing. What is wrong with the set is in `problems`, what is wrong with a
        pair is an error when it is read.

    Attributes
    ----------
    scale : int
        How many times larger the clean images are.

    Raises
    ------
    DatasetError
        No pairs, or anything wrong with them. One line lists all of it.
    """

    def __init__(
        self,
        source: Path,
        pairs: Sequence[Pair],
        problems: Sequence[str] = (),
        *,
        notes: Sequence[str] = (),
        strict: bool = True,
    ) -> None:
        self.pairs, self.notes = list(pairs), list(notes)
        self.scale = self.pairs[0].scale if self.pairs else 1
        self.problems = list(problems)
        if not self.pairs and not self.problems:
            self.problems = ["no pairs in it"]
        if strict:
            wrong = (pair.problem() for pair in self.pairs)
            refuse(source, [*self.problems, *(text for text in wrong if text)])

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self.pairs[index]


class PairedFolder(PairedImages):
    """Pairs in two folders, matched by name (endings aside).

    Parameters
    ----------
    path : path
        The folder above the two.
    degraded, clean : str
        Names of the two folders.
    partners : function of the name, without ending, of a degraded image
        Gives the names that its clean image may have, the likeliest first; the same name by
        default. Several may share one.
    border : int
        See `Pair`.
    strict : bool
        See `PairedImages`.

    Raises
    ------
    DatasetError
        A folder is missing or empty, an image has no partner, two files differ in their ending
        only, a file cannot be opened, or sizes do not fit. One line lists all of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        degraded: str = "input",
        clean: str = "target",
        partners: Callable[[str], Sequence[str]] = lambda name: (name,),
        border: int = 0,
        strict: bool = True,
    ) -> None:
        root = Path(path)
        problems: list[str] = []
        notes: list[str] = []
        low, high = (
            by_name(found_in(root / folder, problems, notes), problems)
            for folder in (degraded, clean)
        )
        chosen = names.partners(low, high, {name: partners(name) for name in low})
        if low and high:
            problems += without_partner(low, high, chosen)
        pairs = [
            Pair(name, (low[name],), high[other], border=border) for name, other in chosen.items()
        ]
        super().__init__(root, pairs, problems, notes=notes, strict=strict)


def by_name(paths: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    """Return files by their names without ending; two of one name are a problem."""
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            problems.append(f"{path.parent.name}: both {named[path.stem].name} and {path.name}")
        named[path.stem] = path
    return named


def without_partner(
    degraded: Mapping[str, Path], clean: Mapping[str, Path], chosen: Mapping[str, str]
) -> list[str]:
    """Return a line for each file that is in no pair; `chosen`: degraded name -> clean name."""
    alone = [path for name, path in degraded.items() if name not in chosen]
    alone += [clean[name] for name in sorted(clean.keys() - set(chosen.values()))]
    return [f"{path.parent.name}/{path.name} has no partner" for path in alone]


def size_of(image: Tensor) -> Size:
    """Return width and height of (..., H, W)."""
    height, width = image.shape[-2:]
    return width, height


def upright_size(path: Path) -> Size:
    """Return width and height from a file's header, of the image as `read_image` turns it.

    Raises
    ------
    ImageError
        The file cannot be opened.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow has turned the size of a TIFF file already
            turned = image.format != "TIFF" and _orientation(image) in _ON_THE_SIDE
            return (height, width) if turned else (width, height)
    except Exception as header:  # decoders of damaged files raise errors of every kind
        try:
            return size_of(read_image(path))  # a kind that not Pillow but another library opens
        except (EAMambaError, OSError):
            where = f"{path.parent.name}/{path.name}"
            raise ImageError(f"{where} cannot be opened ({header})") from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata: the pixels are still good
        return 1
