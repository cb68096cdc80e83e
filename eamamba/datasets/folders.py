"""Images in folders: a user's own photographs, and pairs of degraded and clean images."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from PIL import Image
from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.images import ImageError, list_images, read_image

DEFAULT_CACHE_BYTES = 2**30


class PhotoFolder(Sequence[Tensor]):
    """The photographs of a folder, read when they are first asked for.

    Item *i* is the *i*-th image by name, (3, H, W) float32 in [0, 1].

    Parameters
    ----------
    path : path
        A folder with image files directly in it.
    cache_bytes : int
        Memory for keeping decoded images; those unused for longest leave first.

    Attributes
    ----------
    paths : list of Path

    Raises
    ------
    DatasetError
        No such folder, or no images in it. A damaged file raises `ImageError` when it is read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self.paths = _images_in(Path(path))
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        image = self._cache.pop(index, None)
        if image is None:
            image = read_image(self.paths[index])
        self._cache[index] = image
        used = sum(kept.nbytes for kept in self._cache.values())
        while used > self._cache_bytes:
            used -= self._cache.popitem(last=False)[1].nbytes
        return image


@dataclass(frozen=True)
class Pair:
    """Where a degraded image and its clean counterpart lie."""

    name: str
    degraded: Path
    clean: Path

    def read(self) -> tuple[Tensor, Tensor]:
        """Return (degraded, clean), each (3, H, W) float32 in [0, 1]."""
        return read_image(self.degraded), read_image(self.clean)


class PairedFolder(Sequence[Pair]):
    """Pairs of images with equal names (endings aside) in two folders.

    Parameters
    ----------
    path : path
        The folder above the two.
    degraded, clean : str
        Names of the two folders.

    Raises
    ------
    DatasetError
        A folder is missing or empty, an image has no partner or two, cannot be opened, or the
        sizes of a pair differ. One line lists all of it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, degraded: str = "input", clean: str = "target"
    ) -> None:
        root = Path(path)
        problems: list[str] = []
        sides: list[dict[str, Path]] = []
        for folder in (root / degraded, root / clean):
            try:
                sides.append(_by_stem(_images_in(folder), problems))
            except DatasetError as error:
                problems.append(str(error))
        if len(sides) == 2:
            self.pairs = list(_matched(sides[0], sides[1], problems))
        if problems:
            raise DatasetError(f"{root}: {len(problems)} problem(s): {'; '.join(problems)}")

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self.pairs[index]


def _images_in(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except ImageError as error:
        raise DatasetError(str(error)) from None


def _by_stem(paths: list[Path], problems: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            problems.append(f"{path.parent.name}: both {named[path.stem].name} and {path.name}")
        named[path.stem] = path
    return named


def _matched(
    degraded: dict[str, Path], clean: dict[str, Path], problems: list[str]
) -> Iterator[Pair]:
    for name in sorted(degraded.keys() | clean.keys()):
        if name not in degraded or name not in clean:
            present = (degraded if name in degraded else clean)[name]
            problems.append(f"{present.parent.name}/{present.name} has no partner")
            continue
        pair = Pair(name, degraded[name], clean[name])
        try:
            sizes = [_size(pair.degraded), _size(pair.clean)]
        except ImageError as error:
            problems.append(str(error))
            continue
        if sizes[0] != sizes[1]:
            problems.append(f"{name}: {sizes[0]} pixels degraded, {sizes[1]} clean")
        yield pair


def _size(path: Path) -> str:
    """Return the size of an image file from its header."""
    try:
        with Image.open(path) as image:
            return f"{image.width}x{image.height}"
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path.parent.name}/{path.name} cannot be opened ({error})") from None
