"""The images a task is tested on: bundled photographs, folders, or published pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from eamamba import paths
from eamamba.config import BUNDLED, DataSettings
from eamamba.datasets.bundled import bundled_photographs
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import LAYOUTS
from eamamba.datasets.pairs import ReadablePair
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


def benchmark_images(data: DataSettings) -> dict[str, Iterator[BenchmarkImage]]:
    """Return the images of every benchmark, read one at a time.

    Photograph *i* of a set without pairs gets the degradation of the settings with a generator
    of its own, seeded with 2454 + *i*, and is rounded to 8 bits as a file would be.

    Raises
    ------
    DatasetError
        If a benchmark is missing or not whole; before the first image is read.
    """
    return {name: _open_benchmark(data, place) for name, place in data.benchmarks.items()}


def originals(data: DataSettings) -> dict[str, Iterator[tuple[str, Tensor]]]:
    """Return name and clean image of everything in every benchmark, whole, read one at a time.

    Raises
    ------
    DatasetError
        If a benchmark is missing or not whole; before the first image is read.
    """
    return {name: _open_originals(data, place) for name, place in data.benchmarks.items()}


def _open_originals(data: DataSettings, place: str) -> Iterator[tuple[str, Tensor]]:
    if place == BUNDLED:
        return iter(bundled_photographs("held_out").items())
    folder = paths.dataset(place)
    if data.layout == "photographs":
        photos = PhotoFolder(folder, cache_bytes=0)
        return zip((path.name for path in photos.paths), photos, strict=True)
    return ((image.name, image.clean) for image in _read_pairs(LAYOUTS[data.layout].test(folder)))


def _open_benchmark(data: DataSettings, place: str) -> Iterator[BenchmarkImage]:
    if place != BUNDLED and data.layout != "photographs":
        return _read_pairs(LAYOUTS[data.layout].test(paths.dataset(place)))
    photographs = _open_originals(data, place)
    if place == BUNDLED and (size := data.held_out_size):
        photographs = ((name, centre_crop(image, size)) for name, image in photographs)
    return _degrade_photographs(photographs, data)


def _read_pairs(pairs: Iterable[ReadablePair]) -> Iterator[BenchmarkImage]:
    for pair in pairs:
        degraded, clean = pair.read()
        # Pixels that fill no whole one of the smaller image have no counterpart.
        height, width = degraded.shape[-2:]
        scale = clean.shape[-1] // width
        clean = clean[..., : height * scale, : width * scale]
        yield BenchmarkImage(pair.name, clean, degraded, pair.group)


def _degrade_photographs(
    photographs: Iterable[tuple[str, Tensor]], data: DataSettings
) -> Iterator[BenchmarkImage]:
    for number, (name, clean) in enumerate(photographs):
        if data.kind.added_by_test:
            yield BenchmarkImage(name, clean)
            continue
        clean = crop_to_multiple(clean, data.kind.scale)
        rng = Generator().manual_seed(EVALUATION_SEED + number)
        degraded = DEGRADATIONS[data.degradation](clean, rng).clamp(0, 1)
        yield BenchmarkImage(name, clean, degraded.mul(255).round().div(255))


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Return the middle of (..., H, W), at most ``size`` pixels high and wide."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]
