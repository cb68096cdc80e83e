"""The images that a task is trained and tested on: one row each, with a hash of its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pandas as pd
from torch import Tensor

from eamamba.config import BUNDLED, DataSettings
from eamamba.datasets.benchmarks import originals
from eamamba.datasets.bundled import BUNDLED_PHOTOGRAPHS, bundled_photographs
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.training import training_pairs, training_photographs

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
        A folder or an installed package lacks its images.
    """
    rows = [_describe_image(TRAINING, name, image) for name, image in _training_images(data)]
    for benchmark, images in originals(data).items():
        rows += [_describe_image(benchmark, name, image) for name, image in images]
    bundled = {name for name, location in _locations_by_split(data) if location == BUNDLED}
    return pd.DataFrame(
        [row | _credit_of_photograph(row["image"], row["split"] in bundled) for row in rows]
    )


def _locations_by_split(data: DataSettings) -> list[tuple[str, str]]:
    return [(TRAINING, location) for location in data.training_set.values()] + [
        *data.benchmarks.items()
    ]


def _training_images(data: DataSettings) -> Iterator[tuple[str, Tensor]]:
    pairs = training_pairs(data)
    if pairs is not None:
        return ((pair.name, pair.read()[1]) for pair in pairs)
    images = training_photographs(data)
    if isinstance(images, PhotoFolder):
        return zip((path.name for path in images.paths), images, strict=True)
    return iter(bundled_photographs("train").items())


def _describe_image(split: str, name: str, image: Tensor) -> dict[str, Any]:
    return {"split": split, "image": name} | _size_and_hash(image)


def _credit_of_photograph(name: str, is_bundled: bool) -> dict[str, str]:
    for photo in BUNDLED_PHOTOGRAPHS:
        if is_bundled and photo.name == name:
            return {"credit": photo.credit, "licence": photo.licence, "source": photo.source}
    return {"credit": "", "licence": "", "source": ""}


def _size_and_hash(image: Tensor) -> dict[str, Any]:
    pixels = image.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    height, width = image.shape[1:]
    return {
        "height": height,
        "width": width,
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }
