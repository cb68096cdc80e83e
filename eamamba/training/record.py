"""What makes a training's result: its settings, its data and the versions that computed it."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from eamamba import __version__
from eamamba.config import DataSettings, TaskSettings
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.training import training_pairs, training_photographs

# Settings that change no weights: names, scores, how fast, how often.
_WITHOUT_EFFECT = {
    "profile",
    "title",
    "chapter",
    "family",
    "evaluation",
    "model.checkpoint_percentage",
    "data.benchmarks",
    "data.held_out_size",
    "data.workers",
    "training.micro_batch",
    "training.log_every",
    "training.checkpoint_every",
}
# Of a large file, so much at either end: compressed pixels and checksums stand there.
_END_BYTES = 2**16


def decisive(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Return dumped settings without those that do not change the weights."""
    kept = {key: value for key, value in settings.items() if within + key not in _WITHOUT_EFFECT}
    return {
        key: decisive(value, f"{within}{key}.") if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def flat(settings: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Return settings with their whole names, such as ``training.seed``, in one level."""
    named: dict[str, Any] = {}
    for key, value in settings.items():
        inner = isinstance(value, dict)
        named |= flat(value, f"{within}{key}.") if inner else {within + str(key): value}
    return named


def data_hash(data: DataSettings) -> str:
    """Return a hash of the training set: names, sizes and contents of its images in their order.

    Of files above 128 KiB the two ends stand for the whole. Where the folders lie does not
    matter, nor when they were copied there.

    Raises
    ------
    DatasetError
        The training set is missing or not whole.
    """
    digest = hashlib.sha256()
    for part in _parts(data):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def record(settings: TaskSettings, iterations: int, data: str) -> dict[str, Any]:
    """Return what weights should tell of their training, for their header.

    Parameters
    ----------
    settings : TaskSettings
    iterations : int
        How many steps they were trained for.
    data : str
        What `data_hash` returned.
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
                yield from _file(path)
        return
    images = training_photographs(data)
    if isinstance(images, PhotoFolder):
        for path in images.paths:
            yield from _file(path)
        return
    for image in images:
        yield from _pixels(image)


def _file(path: Path) -> Iterator[bytes]:
    yield os.fsencode(path.name)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        yield str(size).encode()
        file.seek(0)
        yield file.read(_END_BYTES)
        file.seek(max(size - _END_BYTES, min(size, _END_BYTES)))
        yield file.read()


def _pixels(image: Tensor) -> Iterator[bytes]:
    yield str(tuple(image.shape)).encode()
    yield image.contiguous().numpy().tobytes()
