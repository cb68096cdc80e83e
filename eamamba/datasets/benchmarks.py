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
from eamamba.datasets.errors import DatasetError, readable, refuse, say
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
        None where the test itself adds the noise, at several strengths.
    group : str
        The part of its benchmark that it belongs to; empty for no part.
    """

    name: str
    clean: Tensor
    degraded: Tensor | None = None
    group: str = ""


# Degradations reflect the borders: one row or column has nothing to reflect.
_SMALLEST = 2

OnFailure = Callable[[str, str, Exception], None]
"""Told the benchmark, the image (empty: the whole benchmark) and what is wrong with it."""


@dataclass(frozen=True)
class BenchmarkImages(Iterable[BenchmarkImage], Sized):
    """The images of one benchmark, read one at a time.

    Attributes
    ----------
    name : str
    wanted : list of (str, function)
        The name of each image and what reads it.
    needs_noise : bool
        Whether the test adds noise of several strengths to each.
    on_failure : function, optional
        See `benchmark_images`.
    """

    name: str
    wanted: list[tuple[str, Callable[[], BenchmarkImage]]]
    needs_noise: bool
    on_failure: OnFailure | None = None

    def __len__(self) -> int:
        return len(self.wanted)

    def __iter__(self) -> Iterator[BenchmarkImage]:
        for image, load in self.wanted:
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

    Photograph *i* of a set without pairs gets the degradation of the settings with a generator
    of its own, seeded with 2454 + *i*, and is rounded to 8 bits as a file would be.

    Parameters
    ----------
    data : DataSettings
    on_failure : function, optional
        Told of each image and each benchmark that cannot be used; the others go on. Without it
        the first is an error.

    Raises
    ------
    DatasetError
        If a benchmark is missing or not whole, with `on_failure` if all are; before the first
        image is read.
    """
    images: dict[str, BenchmarkImages] = {}
    problems: list[str] = []
    for name, place in data.benchmarks.items():
        try:
            with readable(place):
                images[name] = _open_benchmark(data, name, place, on_failure)
        except DatasetError as error:
            if on_failure is None:
                raise
            on_failure(name, "", error)
            problems.append(str(error))
    if problems and not images:
        raise DatasetError("; ".join(problems), problems)
    return images


def _open_benchmark(
    data: DataSettings, name: str, place: str, on_failure: OnFailure | None
) -> BenchmarkImages:
    needs_noise = data.kind.added_by_test and not _has_pairs(data, place)
    return BenchmarkImages(name, _wanted(data, name, place), needs_noise, on_failure)


def originals(data: DataSettings) -> dict[str, Iterator[tuple[str, Tensor]]]:
    """Return the name and the clean image of everything in each benchmark, uncropped.

    Raises
    ------
    DatasetError
        If a benchmark is missing or incomplete; before the first image is read.
    """
    images: dict[str, Iterator[tuple[str, Tensor]]] = {}
    for name, place in data.benchmarks.items():
        if _has_pairs(data, place):
            pairs = (_paired(pair) for pair in _pairs(data, place))
            images[name] = ((pair.name, pair.clean) for pair in pairs)
        else:
            images[name] = ((image, load()) for image, load in _photographs(data, name, place))
    return images


def _wanted(
    data: DataSettings, name: str, place: str
) -> list[tuple[str, Callable[[], BenchmarkImage]]]:
    """Return the name of each image of a benchmark and what reads it."""
    if _has_pairs(data, place):
        return [(pair.name, partial(_paired, pair)) for pair in _pairs(data, place)]
    return [
        (image, partial(_degraded, data, image, number, load))
        for number, (image, load) in enumerate(_photographs(data, name, place))
    ]


def _has_pairs(data: DataSettings, place: str) -> bool:
    return place != BUNDLED and data.layout != "photographs"


def _photographs(
    data: DataSettings, name: str, place: str
) -> list[tuple[str, Callable[[], Tensor]]]:
    """Return the name of each clean photograph of a benchmark and what reads it."""
    if place == BUNDLED:
        refuse_as_pairs(data.layout, f"data.benchmarks: {name}")
        bundled = bundled_photographs("held_out")
        return [(image, partial(bundled.__getitem__, image)) for image in bundled]
    photos = PhotoFolder(paths.dataset(place), cache_bytes=0)
    say(photos.notes)
    return [(path.name, partial(photos.__getitem__, i)) for i, path in enumerate(photos.paths)]


def _pairs(data: DataSettings, place: str) -> Sequence[ReadablePair]:
    folder = paths.dataset(place)
    pairs = LAYOUTS[data.layout].found_test(folder)
    if isinstance(pairs, PairedImages):
        refuse(folder, pairs.problems)
        say(pairs.notes)
    return pairs


def _paired(pair: ReadablePair) -> BenchmarkImage:
    degraded, clean = pair.read()
    # Pixels that fill no whole one of the smaller image have no counterpart.
    height, width = degraded.shape[-2:]
    scale = clean.shape[-1] // width
    clean = clean[..., : height * scale, : width * scale]
    return BenchmarkImage(pair.name, clean, degraded, pair.group)


def _degraded(
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
            f"{name}: {width}x{height} pixels are too few for {data.degradation}; expected at "
            f"least {smallest} each way"
        )
    clean = crop_to_multiple(clean, kind.scale)
    rng = Generator().manual_seed(EVALUATION_SEED + number)
    degraded = DEGRADATIONS[data.degradation](clean, rng).clamp(0, 1)
    return BenchmarkImage(name, clean, degraded.mul(255).round().div(255))


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Return the middle of (..., H, W), at most ``size`` pixels high and wide."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]
