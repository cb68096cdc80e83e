"""Photographs are restored behind a border of reflected pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from eamamba.images import Photo
from eamamba.restore import restore_photo
from eamamba.restore.tiles import with_border


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 9))
def test_a_border_continues_the_image_as_numpy_does(height: int, width: int, pixels: int) -> None:
    image = torch.linspace(0, 1, height * width).view(1, height, width)
    added = ((0, 0), (pixels, pixels), (pixels, pixels))
    expected = np.pad(image.numpy(), added, mode="reflect")
    assert torch.equal(with_border(image, pixels), torch.from_numpy(expected))


class DarkEdges(nn.Module):
    """Enlarges an image and draws black into its outermost pixels, as zero padding does."""

    size_multiple = 1

    def __init__(self, upscale: int) -> None:
        super().__init__()
        self.upscale = upscale

    def forward(self, image: Tensor) -> Tensor:
        larger = image.repeat_interleave(self.upscale, -1).repeat_interleave(self.upscale, -2)
        inside = torch.zeros_like(larger)
        inside[..., 1:-1, 1:-1] = 1
        return larger * inside


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_edges_of_a_photo_stay_as_they_are(upscale: int, size: tuple[int, int]) -> None:
    rgb = torch.linspace(0.2, 1, 3 * size[0] * size[1]).view(3, *size)
    restored = restore_photo(DarkEdges(upscale), Photo(rgb)).rgb
    expected = rgb.repeat_interleave(upscale, -1).repeat_interleave(upscale, -2)
    assert torch.equal(restored, expected)
