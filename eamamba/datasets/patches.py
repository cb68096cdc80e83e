"""Training patches: any number of random crops, each determined by its number alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from eamamba.config import EAMambaError
from eamamba.datasets.cached import CachedPairs
from eamamba.datasets.errors import DatasetError, PatchError
from eamamba.datasets.pairs import PairedImages
from eamamba.datasets.tiled import TiledImage
from eamamba.degradations import Degradation

ORIENTATIONS = 8
Patches = TypeVar("Patches")


def _with_patch_errors(
    item: Callable[[Patches, int], tuple[Tensor, Tensor]],
) -> Callable[[Patches, int], tuple[Tensor, Tensor]]:
    """Turn every failure to read an image into `PatchError`, also inside loader workers."""

    @wraps(item)
    def read(self: Patches, index: int) -> tuple[Tensor, Tensor]:
        try:
            return item(self, index)
        except (EAMambaError, OSError) as error:
            raise PatchError(" ".join(str(error).split())) from None

    return read


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of clean images, degraded on the fly.

    Item *i* depends only on `seed` and *i*, not on the order of loading, the number of workers or
    what was loaded before.

    Parameters
    ----------
    images : sequence of Tensor (3, H, W) in [0, 1], or of TiledImage
        Each is equally likely; those smaller than a patch are padded by reflection.
    degrade : function of (clean patch, generator)
    patch : int
        Side of the square patches in pixels.
    length : int
        Number of items.
    seed : int

    Returns
    -------
    (degraded, clean) : items, float32; clean is (3, patch, patch)

    Raises
    ------
    DatasetError
        There are no images, or patch or length is below 1; or, when an item is read, its image
        cannot be read.
    """

    def __init__(
        self,
        images: Sequence[Tensor] | Sequence[TiledImage],
        degrade: Degradation,
        patch: int,
        length: int,
        seed: int,
    ) -> None:
        _check_counts(len(images), patch, length)
        self.images, self.degrade = images, degrade
        self.patch, self.length, self.seed = patch, length, seed

    def __len__(self) -> int:
        return self.length

    @_with_patch_errors
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = item_generator(self.seed, range(self.length)[index])
        image = self.images[_random_index(len(self.images), rng)]
        (clean,) = _random_crop([image], self.patch, rng)
        return self.degrade(clean, rng).contiguous(), clean


@dataclass(frozen=True)
class HeldPair:
    """A pair in memory; `read` as for `Pair`."""

    degraded: Tensor
    clean: Tensor

    def read(self) -> tuple[Tensor, Tensor]:
        """Return degraded and clean."""
        return self.degraded, self.clean


class DegradedPool:
    """Crops that are degraded on demand, and kept.

    A costly degradation runs once per crop instead of once per patch.

    Parameters
    ----------
    crops : PatchDataset
        Larger than the patches to be cut from them.

    Attributes
    ----------
    scale : int
        Factor by which the clean crops are larger.
    """

    def __init__(self, crops: PatchDataset) -> None:
        self.crops = crops
        self._degraded_crops: dict[int, HeldPair] = {}
        first = self[0]
        self.scale = first.clean.shape[-1] // first.degraded.shape[-1]

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> HeldPair:
        if index not in self._degraded_crops:
            self._degraded_crops[index] = HeldPair(*self.crops[index])
        return self._degraded_crops[index]


class PairedPatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Random crops at the same position of a degraded image and its clean counterpart.

    Parameters, items and errors as for `PatchDataset`, with `pairs` instead of images and their
    degradation. `patch` is the side of the clean crop, a multiple of ``pairs.scale``.
    """

    def __init__(
        self, pairs: PairedImages | CachedPairs | DegradedPool, patch: int, length: int, seed: int
    ) -> None:
        _check_counts(len(pairs), patch, length)
        if patch % pairs.scale:
            raise DatasetError(f"patches of {patch} pixels; expected a multiple of {pairs.scale}")
        self.pairs, self.patch, self.length, self.seed = pairs, patch, length, seed

    def __len__(self) -> int:
        return self.length

    @_with_patch_errors
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = item_generator(self.seed, range(self.length)[index])
        pair = self.pairs[_random_index(len(self.pairs), rng)]
        degraded, clean = _random_crop(pair.read(), self.patch, rng, self.pairs.scale)
        return degraded, clean


def item_generator(seed: int, index: int) -> Generator:
    """Return the generator of one item; neighbouring numbers give unrelated streams."""
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0] >> np.uint64(1)))


def orient(image: Tensor, mode: int) -> Tensor:
    """Return (..., H, W) in one of the 8 symmetric orientations of a square; 0 is unchanged."""
    if mode & 1:
        image = image.flip(-1)
    if mode & 2:
        image = image.flip(-2)
    return image.mT if mode & 4 else image


def _check_counts(images: int, patch: int, length: int) -> None:
    if images < 1:
        raise DatasetError("no images to cut patches from; expected at least one")
    if patch < 1 or length < 1:
        raise DatasetError(f"{length} patches of {patch} pixels; expected at least 1 of each")


def _random_index(count: int, rng: Generator) -> int:
    return int(torch.randint(count, (), generator=rng))


def _random_crop(
    images: Sequence[Tensor | TiledImage], patch: int, rng: Generator, scale: int = 1
) -> list[Tensor]:
    """Crop the same random square from each image, and apply the same random orientation to all.

    The last image is `scale` times the size of the others, and `patch` is measured in it.
    """
    height, width = images[0].shape[1:]
    side = patch // scale
    top, left = (
        _random_index(max(height - side, 0) + 1, rng),
        _random_index(max(width - side, 0) + 1, rng),
    )
    mode = _random_index(ORIENTATIONS, rng)
    crops = []
    for number, image in enumerate(images, start=1):
        unit = scale if number == len(images) else 1
        rows = slice(unit * top, unit * (top + side))
        columns = slice(unit * left, unit * (left + side))
        crop = _pad_by_reflection(image, unit * side)[:, rows, columns]
        crops.append(orient(crop, mode).contiguous())
    return crops


def _pad_by_reflection(image: Tensor | TiledImage, patch: int) -> Tensor | TiledImage:
    """Pad an image that is smaller than a patch by reflection at the right and bottom."""
    for axis in (1, 2):
        size = image.shape[axis]
        if size < patch:
            positions = np.pad(np.arange(size), (0, patch - size), mode="symmetric")
            image = image[:, :, :].index_select(axis, torch.from_numpy(positions))
    return image
