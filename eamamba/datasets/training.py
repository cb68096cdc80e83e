"""The training data of a task according to its settings: photographs to degrade, or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Generator, Tensor

from eamamba import paths
from eamamba.config import BUNDLED, DataSettings
from eamamba.datasets.bundled import bundled_photographs, refuse_as_pairs
from eamamba.datasets.cached import Cached, CachedPairs, CachedPhotographs
from eamamba.datasets.errors import as_dataset_error, warn_skipped
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import LAYOUTS
from eamamba.datasets.pairs import PairedImages
from eamamba.datasets.patches import DegradedPool, PairedPatchDataset, PatchDataset
from eamamba.degradations import DEGRADATIONS, Degradation, blind_gaussian_noise

# Seeds of pools, different from those of the patches cut from them.
_POOLS = 2**32


def training_patches(
    data: DataSettings, patch: int, length: int, seed: int
) -> PatchDataset | PairedPatchDataset:
    """Return the training patches according to a task's settings.

    Raises
    ------
    DatasetError
        The training set is missing or incomplete.
    """
    pairs = training_pairs(data)
    if pairs is not None:
        found = pairs if data.cache is None else CachedPairs(pairs, paths.dataset(data.cache))
        return PairedPatchDataset(found, patch, length, seed)
    images = _cached_photographs(training_photographs(data), data)
    degrade = _training_degradation(data)
    if data.pool is None:
        return PatchDataset(images, degrade, patch, length, seed)
    size = max(data.pool.size, patch)
    crops = PatchDataset(images, degrade, size, data.pool.crops, _POOLS + seed)
    return PairedPatchDataset(DegradedPool(crops), patch, length, seed)


def cached_training_set(data: DataSettings) -> Cached | None:
    """Return the training set as ``data.cache`` keeps it; None if it keeps nothing of it."""
    if data.cache is None:
        return None
    pairs = training_pairs(data)
    if pairs is not None:
        return CachedPairs(pairs, paths.dataset(data.cache))
    images = _cached_photographs(training_photographs(data), data)
    return images if isinstance(images, CachedPhotographs) else None


def _cached_photographs(
    images: Sequence[Tensor], data: DataSettings
) -> Sequence[Tensor] | CachedPhotographs:
    """Return photographs of folders from the cache, if there is to be one."""
    if data.cache is None or not isinstance(images, PhotoFolder):
        return images
    return CachedPhotographs(images, paths.dataset(data.cache))


def training_pairs(data: DataSettings) -> PairedImages | None:
    """Return the pairs of the training set; None if it holds clean photographs."""
    locations = list(data.training_set.values())
    if data.layout == "photographs":
        return None
    if BUNDLED in locations:
        refuse_as_pairs(data.layout, "data.training_set")
    folder = paths.dataset(locations[0])
    with as_dataset_error(folder):
        pairs = LAYOUTS[data.layout].train(folder)
    warn_skipped(pairs.notes)
    return pairs


def training_photographs(data: DataSettings) -> Sequence[Tensor]:
    """Return the clean photographs of the training set, folder after folder."""
    locations = list(data.training_set.values())
    if locations == [BUNDLED]:
        return list(bundled_photographs("train").values())
    photographs = PhotoFolder(*(paths.dataset(location) for location in locations))
    warn_skipped(photographs.notes)
    return photographs


def _training_degradation(data: DataSettings) -> Degradation:
    degrade = DEGRADATIONS[data.degradation]
    if data.kind.added_by_test:
        degrade = partial(blind_gaussian_noise, sigmas_255=data.sigma_255)
    return (
        partial(_or_clear, degrade=degrade, share=data.clear_share) if data.clear_share else degrade
    )


def _or_clear(clean: Tensor, rng: Generator, degrade: Degradation, share: float) -> Tensor:
    """Return the degraded image or, in `share` of the cases, the clean one."""
    return clean if float(torch.rand((), generator=rng)) < share else degrade(clean, rng)
