"""Pairs of degraded and clean images on disk, checked as a whole before the first is used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import torch
from PIL import Image
from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import images_in
from eamamba.images import ImageError, read_image


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
    """

    name: str
    degraded: tuple[Path, ...]
    clean: Path
    group: str = ""

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded, (3 or 6, h, w), and clean, (3, H, W); float32 in [0, 1]."""
        return torch.cat([read_image(path) for path in self.degraded]), read_image(self.clean)


class PairedImages(Sequence[Pair]):
    """Pairs whose files are all there, can be opened, and fit each other.

    Parameters
    ----------
    source : Path
        What to call the data set in an error.
    pairs : iterable of Pair
    problems : sequence of str
        What is already known to be wrong.
    scale : int
        How many times larger the clean images are; pixels that do not fill a whole one of
        the degraded image are ignored.

    Raises
    ------
    DatasetError
        No pairs, or anything wrong with them. One line lists all of it.
    """

    def __init__(
        self, source: Path, pairs: Iterable[Pair], problems: Sequence[str] = (), *, scale: int = 1
    ) -> None:
        self.pairs, self.scale = list(pairs), scale
        found = [
            *problems,
            *(wrong for pair in self.pairs for wrong in _find_problems(pair, scale)),
        ]
        if not self.pairs and not found:
            found = ["no pairs in it"]
        if found:
            text = f"{source}: {len(found)} problem(s): {'; '.join(found)}"
            raise DatasetError(text, found)

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self.pairs[index]


def same_name(path: Path) -> str:
    """Return a file's name without its ending: the partner of most data sets."""
    return path.stem


class PairedFolder(PairedImages):
    """Pairs in two folders, matched by name (endings aside).

    Parameters
    ----------
    path : path
        The folder above the two.
    degraded, clean : str
        Names of the two folders.
    partner : function of the path of a degraded image
        Gives the name, without ending, of its clean image. Several may share one.
    scale : int
        How many times larger the clean images are.

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
        partner: Callable[[Path], str] = same_name,
        scale: int = 1,
    ) -> None:
        root = Path(path)
        problems: list[str] = []
        sides: list[dict[str, Path]] = []
        for folder in (root / degraded, root / clean):
            try:
                sides.append(_index_by_name(images_in(folder), problems))
            except DatasetError as error:
                problems.append(str(error))
        pairs = _match_partners(sides[0], sides[1], partner, problems) if len(sides) == 2 else []
        super().__init__(root, pairs, problems, scale=scale)


def _index_by_name(paths: list[Path], problems: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            problems.append(f"{path.parent.name}: both {named[path.stem].name} and {path.name}")
        named[path.stem] = path
    return named


def _match_partners(
    degraded: dict[str, Path],
    clean: dict[str, Path],
    partner: Callable[[Path], str],
    problems: list[str],
) -> list[Pair]:
    partners = {name: partner(path) for name, path in degraded.items()}
    unpaired = [path for name, path in degraded.items() if partners[name] not in clean]
    unpaired += [clean[name] for name in sorted(clean.keys() - set(partners.values()))]
    problems += [f"{path.parent.name}/{path.name} has no partner" for path in unpaired]
    return [
        Pair(name, (path,), clean[partners[name]])
        for name, path in degraded.items()
        if partners[name] in clean
    ]


def _find_problems(pair: Pair, scale: int) -> list[str]:
    """Open the files of a pair far enough to know their sizes, and compare them."""
    try:
        width, height = _read_size(pair.clean)
        sizes = [_read_size(path) for path in pair.degraded]
    except ImageError as error:
        return [str(error)]
    expected = (width // scale, height // scale)
    return [
        f"{pair.name}: {size[0]}x{size[1]} pixels degraded, {width}x{height} clean"
        + (f"; expected {scale} times the size" if scale > 1 else "")
        for size in sizes
        if size != expected
    ]


def _read_size(path: Path) -> tuple[int, int]:
    """Return width and height from a file's header."""
    try:
        with Image.open(path) as image:
            return image.width, image.height
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path.parent.name}/{path.name} cannot be opened ({error})") from None
