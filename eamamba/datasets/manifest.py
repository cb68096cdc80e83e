"""Which images a task learns from and is tested on: one row each, with a hash of its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pandas as pd
from torch import Tensor

from eamamba.config import BUNDLED, DataSettings
from eamamba.datasets.bundled import BUNDLED_PHOTOGRAPHS, Split, bundled_photographs
from eamamba.datasets.folders import PhotoFolder

TRAINING = "training"


def manifest(data: DataSettings) -> pd.DataFrame:
    """List the images of the training set and of every benchmark.

    Returns
    -------
    DataFrame
        split (``training`` or the benchmark's name), image, height, width (pixels), sha256 of
        the 8-bit RGB pixels row by row, credit, licence and source (empty for folders).

    Raises
    ------
    DatasetError
        A folder or an installed package does not hold its images.
    """
    rows = list(_rows(TRAINING, data.training_set, "train"))
    for name, place in data.benchmarks.items():
        rows += _rows(name, place, "held_out")
    return pd.DataFrame(rows)


def _rows(split: str, place: str, side: Split) -> Iterator[dict[str, Any]]:
    if place != BUNDLED:
        folder = PhotoFolder(place, cache_bytes=0)
        for path, image in zip(folder.paths, folder, strict=True):
            credit = {"credit": "", "licence": "", "source": ""}
            yield {"split": split, "image": path.stem} | _measures(image) | credit
        return
    known = {photo.name: photo for photo in BUNDLED_PHOTOGRAPHS}
    for name, image in bundled_photographs(side).items():
        photo = known[name]
        credit = {"credit": photo.credit, "licence": photo.licence, "source": photo.source}
        yield {"split": split, "image": name} | _measures(image) | credit


def _measures(image: Tensor) -> dict[str, Any]:
    pixels = image.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    height, width = image.shape[1:]
    return {
        "height": height,
        "width": width,
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
