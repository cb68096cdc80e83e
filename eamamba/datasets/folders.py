"""Photographs in folders, such as a user's own."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from eamamba.datasets.errors import DatasetError, as_dataset_error
from eamamba.images import READABLE_SUFFIXES, read_image

DEFAULT_CACHE_BYTES = 2**30


class PhotoFolder(Sequence[Tensor]):
    """The photographs in one or several folders, read on demand.

    Item *i* is the *i*-th image by name, (3, H, W) float32 in [0, 1]; folders follow each other.

    Parameters
    ----------
    *folders : path
        Folders with image files directly in them.
    cache_bytes : int
        Memory for keeping decoded images; the least recently used are dropped first.

    Attributes
    ----------
    paths : list of Path
    notes : list of str
        What was skipped in each folder.

    Raises
    ------
    DatasetError
        A folder is missing or has no images; every such folder is named. A damaged file raises
        `ImageError` when it is read.
    """

    def __init__(
        self, *folders: str | os.PathLike[str], cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self.paths: list[Path] = []
        self.notes: list[str] = []
        problems: list[str] = []
        for folder in folders:
            self.paths += found_in(Path(folder), problems, self.notes)
        if problems:
            raise DatasetError("; ".join(problems), problems)
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


def images_in(folder: Path, notes: list[str]) -> list[Path]:
    """Return the image files of a folder, sorted by name.

    Hidden files are ignored, including the ``._NAME`` that macOS puts beside an image on other file
    systems; a line that counts and names all other kinds is appended to ``notes``.

    Raises
    ------
    DatasetError
        The folder is missing, cannot be read, or has no images.
    """
    with as_dataset_error(folder):
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder; check the spelling of the path")
        visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    kinds = {path: _kind(path) for path in visible}
    images = [path for path, kind in kinds.items() if kind == "image"]
    counts = sorted(Counter(kind for kind in kinds.values() if kind != "image").items())
    skipped = ", ".join(f"{number} {kind}" for kind, number in counts)
    if not images:
        found = f" (found: {skipped})" if skipped else ""
        expected = ", ".join(READABLE_SUFFIXES)
        raise DatasetError(f"{folder}: no images{found}; expected files in {expected}")
    if skipped:
        notes.append(f"{folder}: skipped {skipped}")
    return images


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones; none if it is missing.

    Raises
    ------
    DatasetError
        The folder cannot be read.
    """
    with as_dataset_error(folder):
        if not folder.is_dir():
            return []
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def found_in(folder: Path, problems: list[str], notes: list[str]) -> list[Path]:
    """Return the image files of a folder; append to `problems` if there are none."""
    try:
        return images_in(folder, notes)
    except DatasetError as error:
        problems += error.problems
        return []


def _kind(path: Path) -> str:
    """Return ``image``, or a description of what else a path is."""
    try:
        if path.is_dir():
            return "folder"
        exists = path.exists()
    except OSError:
        exists = True  # but not accessible: reading it will say why
    if not exists:
        return "broken link"
    suffix = path.suffix.lower()
    return "image" if suffix in READABLE_SUFFIXES else suffix or "file without a suffix"
