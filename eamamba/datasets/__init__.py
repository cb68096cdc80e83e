"""Data sets: bundled photographs, folders of images, and training patches of both."""

from __future__ import annotations

from eamamba.datasets.bundled import (
    BUNDLED_PHOTOGRAPHS,
    BundledPhotograph,
    bundled_photographs,
    credits,
)
from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import Pair, PairedFolder, PhotoFolder
from eamamba.datasets.manifest import manifest
from eamamba.datasets.patches import (
    PairedPatchDataset,
    PatchDataset,
    item_generator,
    orient,
    training_patches,
)

__all__ = [
    "BUNDLED_PHOTOGRAPHS",
    "BundledPhotograph",
    "DatasetError",
    "Pair",
    "PairedFolder",
    "PairedPatchDataset",
    "PatchDataset",
    "PhotoFolder",
    "bundled_photographs",
    "credits",
    "item_generator",
    "manifest",
    "orient",
    "training_patches",
]
