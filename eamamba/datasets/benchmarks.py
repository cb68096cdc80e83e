"""The images a task is tested on: bundled photographs, folders, or published pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Generator, Tensor

from eamamba import paths
from eamamba.config import BUNDLED, DataSettings, EAMambaError
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


def benchmark_images(
    data: DataSettings, on_failure: OnFailure | None = None
) -> dict[str, Iterator[BenchmarkImage]]:
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
    images: dict[str, Iterator[BenchmarkImage]] = {}
    problems: list[str] = []
    for name, place in data.benchmarks.items():
        try:
            with readable(place):
                images[name] = _images(data, name, place, on_failure)
        except DatasetError as error:
            if on_failure is None:
                raise
            on_failure(name, "", error)
            problems.append(str(error))
    if problems and not images:
        raise DatasetError("; ".join(problems), problems)
    return images


def _images(
    data: DataSettings, name: str, place: str, on_failure: OnFailure | None
) -> Iterator[BenchmarkImage]:
    wanted = _wanted(data, name, place)

    def read() -> Iterator[BenchmarkImage]:
        for image, load in wanted:
            try:
                loaded = load()
            except (EAMambaError, OSError, MemoryError) as error:
                if on_failure is None:
                    raise
                on_failure(name, image, error)
            else:
                yield loaded

    return read()


def _wanted(
    data: DataSettings, name: str, place: str
) -> list[tuple[str, Callable[[], BenchmarkImage]]]:
    """Return the name of each image of a benchmark and what reads it."""
    if place == BUNDLED:
        refuse_as_pairs(data.layout, f"data.benchmarks: {name}")
        size = data.held_out_size
        photographs = [
            (image, partial(centre_crop, photograph, size or max(photograph.shape)))
            for image, photograph in bundled_photographs("held_out").items()
        ]
    elif data.layout == "photographs":
        photos = PhotoFolder(paths.dataset(place), cache_bytes=0)
        say(photos.notes)
        photographs = [
            (path.name, partial(photos.__getitem__, number))
            for number, path in enumerate(photos.paths)
        ]
    else:
        folder = paths.dataset(place)
        pairs = LAYOUTS[data.layout].found_test(folder)
        if isinstance(pairs, PairedImages):
            refuse(folder, pairs.problems)
            say(pairs.notes)
        return [(pair.name, partial(_paired, pair)) for pair in pairs]
    return [
        (image, partial(_degraded, data, image, number, load))
        for number, (image, load) in enumerate(photographs)
    ]


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
    kind, clean = data.degradation, load()
    if kind == "gaussian_noise":
        return BenchmarkImage(name, clean)
    scale = int(kind[-1]) if kind.startswith("bicubic") else 1
    smallest = max(scale, _SMALLEST)
    if min(clean.shape[-2:]) < smallest:
        height, width = clean.shape[-2:]
        raise DatasetError(
            f"{name}: {width}x{height} pixels are too few for {kind}; expected at least {smallest} "
            "each way"
        )
    clean = crop_to_multiple(clean, scale)
    rng = Generator().manual_seed(EVALUATION_SEED + number)
    degraded = DEGRADATIONS[kind](clean, rng).clamp(0, 1)
    return BenchmarkImage(name, clean, degraded.mul(255).round().div(255))


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Return the middle of (..., H, W), at most ``size`` pixels high and wide."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]
