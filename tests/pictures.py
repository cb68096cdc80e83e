"""What tests of degradations start from."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def shaded_picture() -> Tensor:
    """Return a picture with smooth shades and sharp edges, (3, 48, 60)."""
    coarse = torch.rand(1, 3, 6, 8, generator=seeded(7))
    smooth = torch.nn.functional.interpolate(coarse, size=(48, 60), mode="bilinear")[0]
    smooth[:, 10:30, 20:35] = torch.tensor([0.9, 0.1, 0.4])[:, None, None]
    return smooth
