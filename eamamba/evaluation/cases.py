"""The images of a test under each condition, as the network sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from eamamba.config import TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.datasets import BenchmarkImage, DatasetError, OnFailure, benchmark_images
from eamamba.degradations import evaluation_noise
from eamamba.degradations.resize import resize
from eamamba.restore import pad_to_multiple

PAPER_MULTIPLE = 8
"""Published scores are for images padded to a multiple of this, whatever the network needs."""


@dataclass(frozen=True)
class Case:
    """A test image under one condition.

    Attributes
    ----------
    benchmark, image : str
    clean : Tensor (3, H, W) in [0, 1]
    degraded : Tensor (3 or 6, h, w)
        Padded at the right and bottom; noise is not clipped.
    conditions : tuple of str
        The averages that include the image, such as ``sigma25``; the most specific comes last.
    """

    benchmark: str
    image: str
    clean: Tensor
    degraded: Tensor
    conditions: tuple[str, ...]

    @property
    def condition(self) -> str:
        """The most specific condition, the one in ``per_image.csv``."""
        return self.conditions[-1]


class Cases(Iterable[Case], Sized):
    """The test images of a task, each under all its conditions.

    Gaussian noise is tested at each level in ``evaluation.sigmas_255`` (conditions ``sigma15`` …),
    a benchmark with several parts as a whole and by part (``combined`` and the names of the
    parts), and any other benchmark as a whole (``all``).

    Parameters
    ----------
    settings : TaskSettings
    on_failure : function, optional
        See `benchmark_images`.
    first : int, optional
        Take so many images of each benchmark; by default all.

    Raises
    ------
    DatasetError
        If there is no benchmark, or if one (with `on_failure`: every one) is missing or incomplete.
    """

    def __init__(
        self,
        settings: TaskSettings,
        on_failure: OnFailure | None = None,
        first: int | None = None,
    ) -> None:
        if not settings.data.benchmarks:
            raise DatasetError(f"{settings.task}: data.benchmarks is empty; name a set to test on")
        self._sigmas_255, self._on_failure = settings.evaluation.sigmas_255, on_failure
        self._first = first
        self._benchmarks = benchmark_images(settings.data, on_failure)

    def __len__(self) -> int:
        levels = len(self._sigmas_255)
        return sum(
            len(range(len(images))[: self._first]) * (levels if images.needs_noise else 1)
            for images in self._benchmarks.values()
        )

    def __iter__(self) -> Iterator[Case]:
        for benchmark, images in self._benchmarks.items():
            for image in islice(images, self._first):
                try:
                    yield from _cases_of_image(benchmark, image, self._sigmas_255)
                except (MemoryError, RuntimeError) as error:
                    if self._on_failure is None or not ran_out_of_memory(error):
                        raise
                    self._on_failure(benchmark, image.name, error)


def _cases_of_image(
    benchmark: str, image: BenchmarkImage, sigmas_255: tuple[float, ...]
) -> Iterator[Case]:
    def case(degraded: Tensor, *conditions: str) -> Case:
        return Case(benchmark, image.name, image.clean, degraded, conditions)

    if image.degraded is None:
        for sigma_255 in sigmas_255:
            noisy = add_protocol_noise(image.clean, PAPER_MULTIPLE, sigma_255=sigma_255)
            yield case(noisy, f"sigma{sigma_255:g}")
        return
    conditions = ("combined", image.group) if image.group else ("all",)
    yield case(pad_to_multiple(image.degraded, PAPER_MULTIPLE), *conditions)


def add_protocol_noise(clean: Tensor, multiple: int, *, sigma_255: float) -> Tensor:
    """Add the Gaussian noise of the published protocol to a padded image.

    Parameters
    ----------
    clean : (C, H, W) in [0, 1]
    multiple : int
        Pad to a multiple of this by reflection; the size determines which noise is drawn.
    sigma_255 : float
        Standard deviation in 8-bit units.

    Returns
    -------
    (C, H', W'), not clipped
        Padded at the right and bottom, where the noise continues instead of being reflected.
    """
    padded = pad_to_multiple(clean, multiple)
    channels, height, width = padded.shape
    return padded + evaluation_noise(channels, height, width) * (sigma_255 / 255)


def without_network(degraded: Tensor, scale: int) -> Tensor:
    """Return the baseline of a comparison: the degraded image, not restored.

    Parameters
    ----------
    degraded : (3 or 6, h, w)
    scale : int
        Scale factor of the clean image.

    Returns
    -------
    (3, h·scale, w·scale)
        The mean of two dual-pixel views; a smaller image enlarged with the bicubic kernel.
    """
    if degraded.shape[0] == 6:
        degraded = torch.stack(degraded.split(3)).mean(0)
    if scale > 1:
        height, width = degraded.shape[-2:]
        degraded = resize(degraded, (height * scale, width * scale)).clamp(0, 1)
    return degraded
