"""What determines a training's result: its settings, its data and the versions used."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from torch import Tensor

from eamamba import __version__
from eamamba.config import DataSettings, TaskSettings
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.training import training_pairs, training_photographs
from eamamba.files import identifying_parts

# Settings that do not affect the weights: names, scores, how fast, how often.
_WITHOUT_EFFECT = {
    "profile",
    "title",
    "chapter",
    "family",
    "evaluation",
    "model.checkpoint_percentage",
    "data.benchmarks",
    "data.cache",
    "data.held_out_size",
    "data.workers",
    "training.micro_batch",
    "training.log_every",
    "training.checkpoint_every",
    "training.keep_last",
    "training.validate_every",
    "training.validation_images",
}


def decisive(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Return dumped settings without those that do not affect the weights."""
    kept = {key: value for key, value in settings.items() if within + key not in _WITHOUT_EFFECT}
    return {
        key: decisive(value, f"{within}{key}.") if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def flat(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Return settings flattened to full names, such as ``training.seed``."""
    named: dict[str, Any] = {}
    for key, value in settings.items():
        inner = isinstance(value, dict)
        named |= flat(value, f"{within}{key}.") if inner else {within + str(key): value}
    return named


def data_hash(data: DataSettings) -> str:
    """Return a hash of the training set: names, sizes and contents of its images in order.

    For files above 128 KiB, only the two ends are read. The location of the folders and the time of
    copying do not matter.

    Raises
    ------
    DatasetError
        The training set is missing or incomplete.
    """
    digest = hashlib.sha256()
    for part in _parts(data):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def record(settings: TaskSettings, iterations: int, data: str) -> dict[str, Any]:
    """Return the record of a training run for the header of its weights.

    Parameters
    ----------
    settings : TaskSettings
    iterations : int
        Number of steps trained.
    data : str
        As returned by `data_hash`.
    """
    kept = decisive(settings.model_dump(mode="json"))
    return {
        "profile": settings.profile,
        "iterations": iterations,
        "data": kept["data"] | {"sha256": data},
        "recipe": kept["training"],
        "seed": settings.training.seed,
        "versions": {
            "eamamba": __version__,
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": version("numpy"),
        },
    }


def _parts(data: DataSettings) -> Iterator[bytes]:
    pairs = training_pairs(data)
    if pairs is not None:
        for pair in pairs:
            for path in (*pair.degraded, pair.clean):
                yield from identifying_parts(path)
        return
    images = training_photographs(data)
    if isinstance(images, PhotoFolder):
        for path in images.paths:
            yield from identifying_parts(path)
        return
    for image in images:
        yield from _pixels(image)


def _pixels(image: Tensor) -> Iterator[bytes]:
    yield str(tuple(image.shape)).encode()
    yield image.contiguous().numpy().tobytes()
