"""Shared by the tests of published data sets: their settings, and a network that does nothing."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from eamamba.config import TaskSettings, load_settings

ROOT = Path(__file__).parents[1]


class Enlarge(nn.Module):
    """Leaves its input as it is, or enlarges it; of two views it returns the first."""

    size_multiple = 8

    def __init__(self, scale: int = 1) -> None:
        super().__init__()
        self.upscale = scale

    def forward(self, image: Tensor) -> Tensor:
        size = [side * self.upscale for side in image.shape[-2:]]
        return F.interpolate(image[:, :3], size, mode="bicubic", antialias=True)


def paper(name: str) -> TaskSettings:
    return load_settings(ROOT / "params.yaml", "paper").task(name)
