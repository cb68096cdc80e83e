"""Haze and rain."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.depth import random_depth
from eamamba.degradations.light import uniform


class Haze(NamedTuple):
    """A hazy picture, and the maps that produced it."""

    depth: Tensor  # (1, H, W)
    transmission: Tensor  # (1, H, W): the fraction of the scene's light that gets through
    hazy: Tensor  # (3, H, W)


class Rain(NamedTuple):
    """A rainy picture, and its components."""

    veiled: Tensor  # (3, H, W): the scene behind distant rain
    streaks: Tensor  # (1, H, W): the light of near drops
    rainy: Tensor  # (3, H, W)


def scatter(clean: Tensor, depth: Tensor, beta: float, airlight: Tensor) -> Tensor:
    """Blend an image with airlight: J exp(-beta d) + A (1 - exp(-beta d)).

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    depth : (1, H, W), at least 0
    beta : float
        Scattering coefficient per unit of depth; 0 returns the image unchanged.
    airlight : (3, 1, 1) in [0, 1]

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Koschmieder, "Theorie der horizontalen Sichtweite", 1924; Narasimhan, Nayar, "Vision and the
    atmosphere", IJCV 2002.
    """
    return _blend_with_airlight(clean, torch.exp(-beta * depth), airlight)


def _blend_with_airlight(clean: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    return clean * transmission + airlight * (1 - transmission)


def indoor_haze(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Tensor:
    """Add haze over a smooth scene: beta in 0.6 to 1.8 per full depth, coloured airlight.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    rng : Generator
    depth : (1, H, W) in [0, 1], optional
        0 is near, 1 far; random and smooth if omitted.
    strength : float
        Factor of beta; 0 returns the image unchanged.

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Li, Ren, Fu, Tao, Feng, Zeng, Wang, "Benchmarking single-image dehazing and beyond", TIP 2019
    (the ranges of the indoor training set, airlight 0.7 to 1 drawn for each colour).
    """
    return simulate_indoor_haze(clean, rng, depth=depth, strength=strength).hazy


def simulate_indoor_haze(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Haze:
    """Run `indoor_haze`and also return the intermediate maps."""
    if depth is None:
        depth = random_depth(clean.shape[1], clean.shape[2], rng)
    beta = strength * uniform(rng, 0.6, 1.8)
    airlight = 0.7 + 0.3 * torch.rand(3, 1, 1, generator=rng)
    transmission = torch.exp(-beta * depth)
    return Haze(depth, transmission, _blend_with_airlight(clean, transmission, airlight))


def outdoor_haze(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Tensor:
    """Add haze over a deep scene: beta in 0.04 to 0.2 over 10 units of depth, white airlight.

    Parameters, result and source as for `indoor_haze` (the outdoor training set: airlight 0.8
    to 1, equal for all colours).
    """
    return simulate_outdoor_haze(clean, rng, depth=depth, strength=strength).hazy


def simulate_outdoor_haze(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Haze:
    """Run `outdoor_haze`and also return the intermediate maps."""
    if depth is None:
        depth = random_depth(clean.shape[1], clean.shape[2], rng)
    beta = strength * uniform(rng, 0.04, 0.2)
    airlight = torch.full((3, 1, 1), uniform(rng, 0.8, 1.0))
    transmission = torch.exp(-beta * (10 * depth))
    return Haze(depth, transmission, _blend_with_airlight(clean, transmission, airlight))


def rain(clean: Tensor, rng: Generator, *, strength: float = 1.0) -> Tensor:
    """Add layers of rain streaks, and the veil that distant rain draws over the scene.

    Between two and four layers share a wind direction; nearer layers have longer, wider and
    fewer streaks. Length, slant, density and brightness are random.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    rng : Generator
    strength : float
        Factor of streak brightness and veil density; 0 returns the image unchanged.

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Yang, Tan, Feng, Liu, Guo, Yan, "Deep joint rain detection and removal from a single image",
    CVPR 2017 (overlapping streak layers under a veil).
    """
    return simulate_rain(clean, rng, strength=strength).rainy


def simulate_rain(clean: Tensor, rng: Generator, *, strength: float = 1.0) -> Rain:
    """Run `rain` and also return its components."""
    height, width = clean.shape[1:]
    depth = random_depth(height, width, rng)
    veiled = scatter(clean, depth, strength * uniform(rng, 0, 0.5), torch.full((3, 1, 1), 0.85))
    wind = uniform(rng, -0.7, 0.7)
    length, density = uniform(rng, 10, 24), uniform(rng, 0.002, 0.012)
    brightness = strength * uniform(rng, 0.25, 0.7)
    streaks = torch.zeros(1, height, width)
    for layer in range(int(uniform(rng, 2, 5))):
        nearness = 0.7**layer
        kernel = _streak(length * nearness, 0.8 * nearness, wind + uniform(rng, -0.08, 0.08))
        streaks += brightness * _place_at_random(kernel, density / nearness, height, width, rng)
    return Rain(veiled, streaks, (veiled + streaks).clamp(0, 1))


def _place_at_random(
    kernel: Tensor, density: float, height: int, width: int, rng: Generator
) -> Tensor:
    """Put a streak of random brightness at randomly chosen pixels, some outside the image."""
    reach = kernel.shape[0] // 2
    size = (1, height + 2 * reach, width + 2 * reach)
    chosen = torch.rand(size, generator=rng) < density
    drops = chosen * torch.rand(size, generator=rng)
    return F.conv2d(drops[None], kernel[None, None])[0].clamp(max=1)


def _streak(length: float, thickness: float, slant: float) -> Tensor:
    """Return a soft line of peak 1, `slant` radians from the vertical; square and odd in size."""
    reach = math.ceil(length / 2 + 2)
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0)] * 2, indexing="ij")
    along = x * math.sin(slant) + y * math.cos(slant)
    across = x * math.cos(slant) - y * math.sin(slant)
    line = torch.exp(-((across / thickness) ** 2) / 2)
    return line * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
