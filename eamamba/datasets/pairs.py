"""Pairs of degraded and clean images on disk, all checked before the first is used."""

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
from eamamba.datasets.errors import DatasetError, raise_problems
from eamamba.datasets.folders import found_in
from eamamba.images import ImageError, read_image

_ORIENTATION_TAG = 0x0112
_ON_THE_SIDE = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


class ReadablePair(Protocol):
    """A degraded image and its clean counterpart, read on demand.

    Attributes
    ----------
    name : str
        Name of the pair in tables.
    group : str
        Part of the set that the pair belongs to, if results are also given for parts.
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
    """The files of a degraded image and its clean counterpart.

    Attributes
    ----------
    name : str
        Name of the pair in tables.
    degraded : tuple of Path
        One file, or the left and the right view of a dual-pixel photograph.
    clean : Path
    group : str
        Part of the set that the pair belongs to, such as ``indoor``; empty if there are no parts.
    scale : int
        Factor by which the clean image is larger; clean pixels that do not make up a whole degraded
        pixel are ignored.
    border : int
        Extra pixels that the clean image may have on every side; they are cropped.
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
            The sizes do not match.
        """
        views, clean = [read_image(path) for path in self.degraded], read_image(self.clean)
        border = self._border_to_crop([size_of(view) for view in views], size_of(clean))
        height, width = clean.shape[-2:]
        return torch.cat(views), clean[
            :, border : height - border, border : width - border
        ].contiguous()

    def problem(self) -> str | None:
        """Read the sizes of the images, and return what is wrong with them."""
        try:
            self._border_to_crop(
                [upright_size(path) for path in self.degraded], upright_size(self.clean)
            )
        except EAMambaError as error:
            return str(error)
        return None

    def _border_to_crop(self, views: Sequence[Size], clean: Size) -> int:
        """Return how many pixels to crop from every side of the clean image."""
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
    """Pairs whose files all exist, can be opened, and match in size.

    Parameters
    ----------
    source : Path
        Name of the data set in errors.
    pairs : sequence of Pair
        All of the same scale.
    problems : sequence of str
        Problems that are already known.
    notes : sequence of str
        What was skipped.
    strict : bool
        If False, nothing is raised: problems of the set are in `problems`, and those of a pair are
        raised when it is read.

    Attributes
    ----------
    scale : int
        Factor by which the clean images are larger.

    Raises
    ------
    DatasetError
        There are no pairs, or something is wrong with them. One line lists all problems.
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
            raise_problems(source, [*self.problems, *(text for text in wrong if text)])

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self.pairs[index]


class PairedFolder(PairedImages):
    """Pairs in two folders, matched by name without suffix.

    Parameters
    ----------
    path : path
        The parent folder of both.
    degraded, clean : str
        Names of the two folders.
    partners : function of the name, without suffix, of a degraded image
        Returns the names that its clean image may have, the most likely first; by default the same
        name. Several degraded images may share a clean one.
    border : int
        See `Pair`.
    strict : bool
        See `PairedImages`.

    Raises
    ------
    DatasetError
        A folder is missing or empty, an image has no partner, two files differ only in their
        suffix, a file cannot be opened, or sizes do not match. One line lists all problems.
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
    """Return files by name without suffix; two files with one name are a problem."""
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            problems.append(f"{path.parent.name}: both {named[path.stem].name} and {path.name}")
        named[path.stem] = path
    return named


def without_partner(
    degraded: Mapping[str, Path], clean: Mapping[str, Path], chosen: Mapping[str, str]
) -> list[str]:
    """Return a line for each file without a partner; `chosen`: degraded name -> clean name."""
    alone = [path for name, path in degraded.items() if name not in chosen]
    alone += [clean[name] for name in sorted(clean.keys() - set(chosen.values()))]
    return [f"{path.parent.name}/{path.name} has no partner" for path in alone]


def size_of(image: Tensor) -> Size:
    """Return width and height of (..., H, W)."""
    height, width = image.shape[-2:]
    return width, height


def upright_size(path: Path) -> Size:
    """Return width and height from a file's header, after the rotation that `read_image` applies.

    Raises
    ------
    ImageError
        The file cannot be opened.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow has already rotated the size of a TIFF file
            turned = image.format != "TIFF" and _orientation(image) in _ON_THE_SIDE
            return (height, width) if turned else (width, height)
    except Exception as header:  # decoders of damaged files raise errors of every kind
        try:
            return size_of(read_image(path))  # a format that another library opens, not Pillow
        except (EAMambaError, OSError):
            where = f"{path.parent.name}/{path.name}"
            raise ImageError(f"{where} cannot be opened ({header})") from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata: the pixels are still good
        return 1
