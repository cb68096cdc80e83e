"""Data sets: bundled photographs, folders of images, and training patches of both."""

from __future__ import annotations

from eamamba.datasets.bundled import (
    BUNDLED_PHOTOGRAPHS,
    BundledPhotograph,
    bundled_photographs,
    credits,
)
from eamamba.datasets.errors import DatasetError
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import bicubic_pairs, dpdd, realsr, reside, sidd
from eamamba.datasets.manifest import manifest
from eamamba.datasets.pairs import Pair, PairedFolder, PairedImages
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
    "PairedImages",
    "PairedPatchDataset",
    "PatchDataset",
    "PhotoFolder",
    "bicubic_pairs",
    "bundled_photographs",
    "credits",
    "dpdd",
    "item_generator",
    "manifest",
    "orient",
    "realsr",
    "reside",
    "sidd",
    "training_patches",
]
