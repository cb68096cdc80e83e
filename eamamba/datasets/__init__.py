"""Data sets: bundled photographs, folders of images, and training patches from both."""

from __future__ import annotations

from eamamba.datasets.benchmarks import BenchmarkImage, OnFailure, benchmark_images, centre_crop
from eamamba.datasets.bicubic import bicubic_pairs
from eamamba.datasets.bundled import (
    BUNDLED_PHOTOGRAPHS,
    BundledPhotograph,
    bundled_photographs,
    credits,
)
from eamamba.datasets.errors import DatasetError, DatasetWarning
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import LAYOUTS, dpdd, realsr, reside, sidd
from eamamba.datasets.manifest import manifest
from eamamba.datasets.pairs import Pair, PairedFolder, PairedImages, ReadablePair
from eamamba.datasets.patches import (
    DegradedPool,
    PairedPatchDataset,
    PatchDataset,
    item_generator,
    orient,
)
from eamamba.datasets.published import PUBLISHED, PublishedSet, check
from eamamba.datasets.sidd_blocks import sidd_blocks
from eamamba.datasets.training import training_pairs, training_patches, training_photographs

__all__ = [
    "BUNDLED_PHOTOGRAPHS",
    "LAYOUTS",
    "PUBLISHED",
    "BenchmarkImage",
    "BundledPhotograph",
    "DatasetError",
    "DatasetWarning",
    "DegradedPool",
    "OnFailure",
    "Pair",
    "PairedFolder",
    "PairedImages",
    "PairedPatchDataset",
    "PatchDataset",
    "PhotoFolder",
    "PublishedSet",
    "ReadablePair",
    "benchmark_images",
    "bicubic_pairs",
    "bundled_photographs",
    "centre_crop",
    "check",
    "credits",
    "dpdd",
    "item_generator",
    "manifest",
    "orient",
    "realsr",
    "reside",
    "sidd",
    "sidd_blocks",
    "training_pairs",
    "training_patches",
    "training_photographs",
]
