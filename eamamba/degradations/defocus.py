"""Defocus blur of a lens with a wide aperture, as one view or as a dual-pixel pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.depth import random_depth
from eamamba.degradations.light import to_linear_light, to_srgb, uniform

_LAYERS = 9
_OBJECTS = 2


class Defocus(NamedTuple):
    """A defocused picture, with the depth of the scene and the settings of the lens."""

    depth: Tensor  # (1, H, W): 0 is near, 1 far
    focus: float  # the depth that is sharp
    largest_radius_px: float  # at the depth farthest from focus
    blurred: Tensor  # (3 for each view, H, W)


def defocus_blur(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Tensor:
    """Blur each point by the disk that its distance from the focal plane gives.

    Near layers cover far ones, with soft outlines where they are out of focus.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    rng : Generator
    depth : (1, H, W) in [0, 1], optional
        0 is near, 1 far; random if omitted.
    strength : float
        Factor of the blur radius (drawn between 2 and 7 pixels at the depth farthest from
        focus); 0 returns the image unchanged (up to float32 rounding).

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Potmesil, Chakravarty, "A lens and aperture camera model for synthetic image generation",
    SIGGRAPH 1981 (circle of confusion).
    """
    return simulate_defocus(clean, rng, ONE_VIEW, depth=depth, strength=strength).blurred


def dual_pixel_defocus(
    clean: Tensor, rng: Generator, *, depth: Tensor | None = None, strength: float = 1.0
) -> Tensor:
    """Return the left and right dual-pixel views of a defocused photograph.

    As `defocus_blur`, but each view sees through one half of the lens: its blur is a half disk,
    on opposite sides for points in front of and behind the focal plane.

    Returns
    -------
    (6, H, W) in [0, 1]
        The left view, then the right view.

    References
    ----------
    Abuolaim, Delbracio, Kelly, Brown, Milanfar, "Learning to reduce defocus blur by
    realistically modeling dual-pixel data", ICCV 2021.
    """
    return simulate_defocus(clean, rng, DUAL_PIXEL, depth=depth, strength=strength).blurred


def simulate_defocus(
    clean: Tensor,
    rng: Generator,
    kernels: Sequence[Callable[[float], Tensor]],
    *,
    depth: Tensor | None = None,
    strength: float = 1.0,
) -> Defocus:
    """Run `defocus_blur` once per kernel; also return the scene and the lens.

    Parameters
    ----------
    kernels : sequence of function
        One per view, `ONE_VIEW` or `DUAL_PIXEL`: from signed radius in pixels to kernel.
    """
    if depth is None:
        depth = random_depth(clean.shape[1], clean.shape[2], rng, objects=_OBJECTS)
    focus, largest_radius = uniform(rng, 0, 1), strength * uniform(rng, 2.0, 7.0)
    radii = (torch.linspace(1, 0, _LAYERS) - focus) * (largest_radius / max(focus, 1 - focus))
    linear = to_linear_light(clean)
    views = [_composite(linear, depth, radii, kernel) for kernel in kernels]
    return Defocus(depth, focus, largest_radius, to_srgb(torch.cat(views).clamp(0, 1)))


def _composite(
    linear: Tensor, depth: Tensor, radii: Tensor, kernel_of: Callable[[float], Tensor]
) -> Tensor:
    """Composite the blurred layers of the scene, from far to near."""
    # Each pixel is shared between its two nearest layers, so that smooth depth shows no steps.
    positions = torch.linspace(1, 0, len(radii))[:, None, None]
    shares = (1 - (depth - positions).abs() * (len(radii) - 1)).clamp(min=0)
    light, weight = torch.zeros_like(linear), torch.zeros_like(depth)
    for share, radius in zip(shares, radii.tolist(), strict=True):
        if not share.any():
            continue
        layer = _convolve(torch.cat([linear * share, share[None]]), kernel_of(radius))
        cover = layer[3:]
        light = light * (1 - cover) + layer[:3]
        weight = weight * (1 - cover) + cover
    # What a near layer hides is unknown: where its blurred outline is thin, visible parts replace
    # it.
    return light / weight.clamp(min=1e-6)


def _convolve(channels: Tensor, kernel: Tensor) -> Tensor:
    reach = kernel.shape[0] // 2
    padded = F.pad(channels[None], (reach,) * 4, mode="replicate")
    weight = kernel.flip(0, 1).expand(len(channels), 1, -1, -1)
    return F.conv2d(padded, weight, groups=len(channels))[0]


def _disk(radius: float) -> Tensor:
    """Return an antialiased disk of sum 1, square and odd in size."""
    reach = int(abs(radius) + 1)
    positions = torch.arange(-reach, reach + 1.0)
    distance = (positions**2 + positions[:, None] ** 2).sqrt()
    disk = (abs(radius) + 0.5 - distance).clamp(0, 1)
    return disk / disk.sum()


def _left_half_disk(radius: float) -> Tensor:
    """Return twice the left half of the disk, or its right half for a negative radius."""
    disk = _disk(radius)
    reach = disk.shape[0] // 2
    columns = torch.arange(-reach, reach + 1.0)
    side = (0.5 - columns * (1 if radius >= 0 else -1)).clamp(0, 1)  # the middle column is shared
    return 2 * disk * side


def _right_half_disk(radius: float) -> Tensor:
    return _left_half_disk(radius).flip(1)


ONE_VIEW = (_disk,)
DUAL_PIXEL = (_left_half_disk, _right_half_disk)
"""Kernels of the left and of the right view."""
