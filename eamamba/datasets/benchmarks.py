"""The images a task is tested on: bundled photographs, folders, or published pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial

from torch import Generator, Tensor

from eamamba import paths
from eamamba.config import BUNDLED, DataSettings, EAMambaError
from eamamba.config.errors import ran_out_of_memory
from eamamba.datasets.bundled import bundled_photographs, refuse_as_pairs
from eamamba.datasets.errors import DatasetError, as_dataset_error, raise_problems, warn_skipped
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import LAYOUTS
from eamamba.datasets.pairs import PairedImages, ReadablePair
from eamamba.degradations import DEGRADATIONS, EVALUATION_SEED, crop_to_multiple


@dataclass(frozen=True)
class BenchmarkImage:
    """A test image.

    Attributes
    ----------
    name : str
    clean : Tensor (3, H, W) float32 in [0, 1]
    degraded : Tensor (3 or 6, h, w) or None
        None if the test itself adds the noise, at several strengths.
    group : str
        The part of the benchmark that it belongs to; empty if there are no parts.
    """

    name: str
    clean: Tensor
    degraded: Tensor | None = None
    group: str = ""


# Degradations pad by reflection, which needs two rows and columns.
_SMALLEST = 2

OnFailure = Callable[[str, str, Exception], None]
"""Called with the benchmark, the image (empty for the whole benchmark) and the error."""


@dataclass(frozen=True)
class BenchmarkImages(Iterable[BenchmarkImage], Sized):
    """The images of one benchmark, read one at a time.

    Attributes
    ----------
    name : str
    loaders : list of (str, function)
        The name of each image and what reads it.
    needs_noise : bool
        Whether the test adds noise of several strengths to each.
    on_failure : function, optional
        See `benchmark_images`.
    """

    name: str
    loaders: list[tuple[str, Callable[[], BenchmarkImage]]]
    needs_noise: bool
    on_failure: OnFailure | None = None

    def __len__(self) -> int:
        return len(self.loaders)

    def __iter__(self) -> Iterator[BenchmarkImage]:
        for image, load in self.loaders:
            try:
                loaded = load()
            except Exception as error:
                known = isinstance(error, EAMambaError | OSError) or ran_out_of_memory(error)
                if self.on_failure is None or not known:
                    raise
                self.on_failure(self.name, image, error)
            else:
                yield loaded


def benchmark_images(
    data: DataSettings, on_failure: OnFailure | None = None
) -> dict[str, BenchmarkImages]:
    """Return the images of every benchmark, read one at a time.

    Photograph *i* of a set without pairs gets the degradation of the settings with its own
    generator, seeded with 2454 + *i*, and is rounded to 8 bits like a file.

    Parameters
    ----------
    data : DataSettings
    on_failure : function, optional
        Called for each image and each benchmark that cannot be used, so that the others are still
        read. Without it the first failure raises.

    Raises
    ------
    DatasetError
        If a benchmark (with `on_failure`: every benchmark) is missing or incomplete; raised before
        the first image is read.
    """
    images: dict[str, BenchmarkImages] = {}
    problems: list[str] = []
    for name, location in data.benchmarks.items():
        try:
            with as_dataset_error(location):
                images[name] = _open_benchmark(data, name, location, on_failure)
        except DatasetError as error:
            if on_failure is None:
                raise
            on_failure(name, "", error)
            problems.append(str(error))
    if problems and not images:
        raise DatasetError("; ".join(problems), problems)
    return images


def _open_benchmark(
    data: DataSettings, name: str, location: str, on_failure: OnFailure | None
) -> BenchmarkImages:
    needs_noise = data.kind.added_by_test and not _has_pairs(data, location)
    return BenchmarkImages(name, _loaders(data, name, location), needs_noise, on_failure)


def originals(data: DataSettings) -> dict[str, Iterator[tuple[str, Tensor]]]:
    """Return the names and the uncropped clean images of each benchmark.

    Raises
    ------
    DatasetError
        If a benchmark is missing or incomplete; raised before the first image is read.
    """
    images: dict[str, Iterator[tuple[str, Tensor]]] = {}
    for name, location in data.benchmarks.items():
        if _has_pairs(data, location):
            pairs = (_load_pair(pair) for pair in _pairs(data, location))
            images[name] = ((pair.name, pair.clean) for pair in pairs)
        else:
            images[name] = ((image, load()) for image, load in _photographs(data, name, location))
    return images


def _loaders(
    data: DataSettings, name: str, location: str
) -> list[tuple[str, Callable[[], BenchmarkImage]]]:
    """Return the name of each image of a benchmark and a function that loads it."""
    if _has_pairs(data, location):
        return [(pair.name, partial(_load_pair, pair)) for pair in _pairs(data, location)]
    return [
        (image, partial(_degrade_photograph, data, image, number, load))
        for number, (image, load) in enumerate(_photographs(data, name, location))
    ]


def _has_pairs(data: DataSettings, location: str) -> bool:
    return location != BUNDLED and data.layout != "photographs"


def _photographs(
    data: DataSettings, name: str, location: str
) -> list[tuple[str, Callable[[], Tensor]]]:
    """Return the name of each clean photograph of a benchmark and a function that loads it."""
    if location == BUNDLED:
        refuse_as_pairs(data.layout, f"data.benchmarks: {name}")
        bundled = bundled_photographs("held_out")
        return [(image, partial(bundled.__getitem__, image)) for image in bundled]
    photos = PhotoFolder(paths.dataset(location), cache_bytes=0)
    warn_skipped(photos.notes)
    return [(path.name, partial(photos.__getitem__, i)) for i, path in enumerate(photos.paths)]


def _pairs(data: DataSettings, location: str) -> Sequence[ReadablePair]:
    folder = paths.dataset(location)
    pairs = LAYOUTS[data.layout].found_test(folder)
    if isinstance(pairs, PairedImages):
        raise_problems(folder, pairs.problems)
        warn_skipped(pairs.notes)
    return pairs


def _load_pair(pair: ReadablePair) -> BenchmarkImage:
    degraded, clean = pair.read()
    # Crop clean pixels that do not make up a whole pixel of the smaller image.
    height, width = degraded.shape[-2:]
    scale = clean.shape[-1] // width
    clean = clean[..., : height * scale, : width * scale]
    return BenchmarkImage(pair.name, clean, degraded, pair.group)


def _degrade_photograph(
    data: DataSettings, name: str, number: int, load: Callable[[], Tensor]
) -> BenchmarkImage:
    clean, kind = load(), data.kind
    if data.held_out_size is not None:
        clean = centre_crop(clean, data.held_out_size)
    if kind.added_by_test:
        return BenchmarkImage(name, clean)
    smallest = max(kind.scale, _SMALLEST)
    if min(clean.shape[-2:]) < smallest:
        height, width = clean.shape[-2:]
        raise DatasetError(
            f"{name}: {width}x{height} pixels are too small for {data.degradation}; expected at "
            f"least {smallest}x{smallest}"
        )
    clean = crop_to_multiple(clean, kind.scale)
    rng = Generator().manual_seed(EVALUATION_SEED + number)
    degraded = DEGRADATIONS[data.degradation](clean, rng).clamp(0, 1)
    return BenchmarkImage(name, clean, degraded.mul(255).round().div(255))


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Return the central crop of (..., H, W), at most ``size`` pixels high and wide."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]
