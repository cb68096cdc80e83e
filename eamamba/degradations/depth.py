"""Random depth maps, for degradations that depend on distance."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.light import uniform


def random_depth(height: int, width: int, rng: Generator, *, objects: int = 0) -> Tensor:
    """Return a random depth map: a tilted, uneven ground with objects in front of it.

    Parameters
    ----------
    height, width : int
    rng : Generator
    objects : int
        Number of nearer patches with sharp outlines; without them the map is smooth.

    Returns
    -------
    (1, H, W) float32 in [0, 1]
        0 is the nearest point of the scene, 1 the farthest.
    """
    rows = torch.linspace(1, 0, height)[:, None]
    columns = torch.linspace(-0.5, 0.5, width)
    tilt = uniform(rng, 0, 1) * rows + uniform(rng, -0.5, 0.5) * columns
    depth = _stretch_to_unit_range(
        tilt + uniform(rng, 0.1, 0.6) * _smooth_noise(height, width, rng)
    )
    for _ in range(objects):
        shape = _smooth_noise(height, width, rng) > uniform(rng, 0.6, 0.8)
        depth = torch.where(shape, depth * uniform(rng, 0, 0.7), depth)
    return depth[None]


def _smooth_noise(height: int, width: int, rng: Generator) -> Tensor:
    coarse = torch.randn(1, 1, 5, 5, generator=rng)
    fine = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    return _stretch_to_unit_range(fine[0, 0])


def _stretch_to_unit_range(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp(min=1e-6)
