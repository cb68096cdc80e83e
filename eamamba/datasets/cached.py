"""A training set whose images are decoded once, into files of tiles."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from torch import Tensor
from tqdm import tqdm

from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.pairs import Pair, PairedImages, upright_size
from eamamba.datasets.tiled import TiledImage, write_tiled
from eamamba.files import identifying_parts
from eamamba.images import read_image
from eamamba.progress import bar_options

_GIB = 2**30


class _Cache:
    """A folder of tiled files, each named after a hash of its sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[tuple[Path, ...], Path] = {}

    def file(self, sources: tuple[Path, ...], facts: str = "") -> Path:
        """Return the path of the tiled file for some source files."""
        if sources not in self._files:
            digest = hashlib.sha256(facts.encode())
            for source in sources:
                for part in identifying_parts(source):
                    digest.update(hashlib.sha256(part).digest())
            self._files[sources] = self.folder / f"{digest.hexdigest()[:32]}.safetensors"
        return self._files[sources]


def _opened(file: Path, make: Callable[[], Mapping[str, Tensor]], *names: str) -> list[TiledImage]:
    """Return images of a file, which is created first if it is missing or unreadable."""
    try:
        return [TiledImage(file, name) for name in names]
    except DatasetError:
        write_tiled(file, make())
        return [TiledImage(file, name) for name in names]


class CachedPhotographs(Sequence[TiledImage]):
    """The photographs of `PhotoFolder`, each decoded on demand.

    Parameters
    ----------
    photographs : PhotoFolder
    folder : Path
        Folder for the files of tiles; several training runs may share it.
    """

    def __init__(self, photographs: PhotoFolder, folder: Path) -> None:
        self.sources = [(path,) for path in photographs.paths]
        self._cache = _Cache(folder)

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> TiledImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[TiledImage]: ...

    def __getitem__(self, index: int | slice) -> TiledImage | list[TiledImage]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        (path,) = self.sources[index]
        (image,) = _opened(self.file(index), lambda: {"clean": read_image(path)}, "clean")
        return image

    def file(self, index: int) -> Path:
        """Return the path of a decoded photograph."""
        return self._cache.file(self.sources[index])


@dataclass(frozen=True)
class CachedPair:
    """A pair in a file of tiles; `read` as for `Pair`."""

    pair: Pair
    file: Path

    def read(self) -> tuple[TiledImage, TiledImage]:
        """Return degraded and clean."""

        def make() -> dict[str, Tensor]:
            return dict(zip(("degraded", "clean"), self.pair.read(), strict=True))

        degraded, clean = _opened(self.file, make, "degraded", "clean")
        return degraded, clean


class CachedPairs:
    """Pairs, each decoded on demand; parameters as for `CachedPhotographs`."""

    def __init__(self, pairs: PairedImages, folder: Path) -> None:
        self.pairs, self.scale = pairs, pairs.scale
        self.sources = [(*pair.degraded, pair.clean) for pair in pairs]
        self._cache = _Cache(folder)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> CachedPair:
        return CachedPair(self.pairs[index], self.file(index))

    def file(self, index: int) -> Path:
        """Return the path of a decoded pair."""
        pair = self.pairs[index]
        facts = f"{type(pair).__name__} {pair.scale} {pair.border}"
        return self._cache.file(self.sources[index], facts)


Cached = CachedPhotographs | CachedPairs


def missing(images: Cached) -> list[int]:
    """Return the indices of the images that are not in the cache yet."""
    return [number for number in range(len(images)) if not images.file(number).is_file()]


def bytes_needed(images: Cached, numbers: Sequence[int]) -> int:
    """Estimate the space that images will take from their headers: three bytes per pixel."""
    sizes = (upright_size(path) for number in numbers for path in images.sources[number])
    return sum(3 * width * height for width, height in sizes)


def fill(images: Cached, say: Callable[[str], None]) -> None:
    """Decode the images that are not in the cache yet.

    Parameters
    ----------
    images : CachedPhotographs or CachedPairs
    say : function of str
        Called first with the required space.

    Raises
    ------
    DatasetError
        There is too little space on the disk; raised before anything is written.
    ImageError
        A file cannot be decoded; the message names it.
    """
    numbers = missing(images)
    if not numbers:
        say(f"all {len(images)} are in the cache")
        return
    folder = images.file(numbers[0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = bytes_needed(images, numbers), shutil.disk_usage(folder).free
    say(f"{len(numbers)} of {len(images)} to decode: about {needed / _GIB:.2f} GiB in {folder}")
    if needed > free:
        raise DatasetError(
            f"{folder}: {free / _GIB:.2f} GiB free, about {needed / _GIB:.2f} GiB needed; "
            "choose another folder for data.cache"
        )

    def decode(number: int) -> None:
        image = images[number]
        if isinstance(image, CachedPair):
            image.read()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(decode, numbers)
        for _ in tqdm(done, "decoding", total=len(numbers), **bar_options()):
            pass
