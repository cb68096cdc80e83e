"""Images in another order or range than `restore` expects are recognised and named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.network import EAMamba
from eamamba.restore import RestoreError, restore


class Foreign(nn.Module):
    """A network that does not say how many channels it takes."""

    size_multiple, upscale = 1, 1

    def forward(self, image: Tensor) -> Tensor:
        return image


@pytest.fixture(scope="module")
def network() -> EAMamba:
    torch.manual_seed(0)
    blocks = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
    scan = MambaSettings(scan_count=4, d_state=4)
    return EAMamba(EAMambaSettings(**blocks, mamba_cfg=scan)).eval()


@pytest.mark.parametrize("shape", [(32, 48, 3), (17, 3, 3), (8, 8, 3)])
def test_channels_that_come_last_are_named(network: EAMamba, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    with pytest.raises(RestoreError, match=r"looks like \(h, w, c\).*permute\(2, 0, 1\)"):
        restore(network, image)
    with pytest.raises(RestoreError, match=r"permute\(0, 3, 1, 2\)"):
        restore(network, image[None])
    assert restore(network, image.permute(2, 0, 1)).shape == (3, *shape[:2])


def test_channels_that_come_last_are_named_for_any_network() -> None:
    with pytest.raises(RestoreError, match=r"looks like \(h, w, c\)"):
        restore(Foreign(), torch.rand(32, 48, 4))
    assert restore(Foreign(), torch.rand(6, 9, 3)).shape == (6, 9, 3)  # six channels are some


def test_narrow_images_are_images(network: EAMamba) -> None:
    assert restore(network, torch.rand(3, 9, 3)).shape == (3, 9, 3)
    assert restore(network, torch.rand(3, 3, 1)).shape == (3, 3, 1)


def test_other_numbers_of_channels_are_named(network: EAMamba) -> None:
    with pytest.raises(RestoreError, match=r"takes 3 channels, got shape \(4, 9, 9\)"):
        restore(network, torch.rand(4, 9, 9))
    with pytest.raises(RestoreError, match=r"takes 3 channels, got shape \(1, 9, 9\)"):
        restore(network, torch.rand(1, 9, 9))


@pytest.mark.parametrize("white", [255, 65535])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_other_ranges_are_named(white: int, dtype: torch.dtype) -> None:
    image = torch.linspace(0, 1, 3 * 9 * 9, dtype=torch.float64).view(3, 9, 9)
    with pytest.raises(RestoreError, match=rf"values in \[0, 1\], got up to .*image / {white}"):
        restore(Foreign(), (image * (white * 0.9)).to(dtype))
    noisy = image + 0.5 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    restore(Foreign(), noisy)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"got torch.uint8 \(use image / 255\)"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), "got torch.complex64"),
        (np.zeros((3, 8, 8), np.float32), r"floating-point tensor \(c, h, w\), got ndarray"),
    ],
)
def test_other_kinds_are_named(image: Tensor, message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        restore(Foreign(), image)
