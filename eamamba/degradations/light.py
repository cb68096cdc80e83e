"""Transfer curves and random draws that the degradations share."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def to_linear_light(srgb: Tensor) -> Tensor:
    """Undo the sRGB transfer curve (IEC 61966-2-1); values in [0, 1] of any shape."""
    curved = ((srgb.clamp(min=0) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curved)


def to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer curve (IEC 61966-2-1); values in [0, 1] of any shape."""
    curved = 1.055 * linear.clamp(min=1e-8) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curved)


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw one number between `low` and `high`."""
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def normal(rng: Generator, mean: float, deviation: float) -> float:
    """Draw one normally distributed number."""
    return mean + deviation * float(torch.randn((), generator=rng, dtype=torch.float64))
