"""The photographs of folders, such as a user's own."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.images import ImageError, list_images, read_image

DEFAULT_CACHE_BYTES = 2**30


class PhotoFolder(Sequence[Tensor]):
    """The photographs of one or several folders, read when they are first asked for.

    Item *i* is the *i*-th image by name, (3, H, W) float32 in [0, 1]; folders follow each other.

    Parameters
    ----------
    *folders : path
        Folders with image files directly in them.
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
        self, *folders: str | os.PathLike[str], cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self.paths = [path for folder in folders for path in images_in(Path(folder))]
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


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder; `DatasetError` if there are none."""
    try:
        return list_images(folder)
    except ImageError as error:
        raise DatasetError(str(error)) from None
