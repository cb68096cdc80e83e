"""Effective receptive field: networks whose field is known, and EAMamba's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eamamba.config import EAMambaSettings, MambaSettings, TaskSettings
from eamamba.evaluation.receptive_field import (
    POSITIONS,
    ReceptiveFieldError,
    effective_receptive_field,
    for_display,
    high_contribution_area,
    network_inputs,
)
from eamamba.network import EAMamba, set_backend

PIXELS = {
    "centre": (8, 12),
    "top left": (0, 0),
    "top right": (0, 23),
    "bottom left": (15, 0),
    "bottom right": (15, 23),
}
every_position = pytest.mark.parametrize("position", POSITIONS)


def pictures(count: int = 2, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 16, 24, generator=torch.Generator().manual_seed(0))


@every_position
def test_the_identity_sees_one_pixel(position: str) -> None:
    field = effective_receptive_field(nn.Identity(), pictures(), position)
    expected = torch.zeros(16, 24)
    expected[PIXELS[position]] = 3  # each output channel depends on one input channel
    assert torch.equal(field, expected)


@every_position
def test_a_convolution_sees_its_kernel(position: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, 3, padding=1)
    field = effective_receptive_field(conv, pictures(), position)
    kernel = conv.weight.detach().sum(0).abs().sum(0)
    padded = torch.zeros(18, 26)
    row, column = PIXELS[position]
    padded[row : row + 3, column : column + 3] = kernel
    torch.testing.assert_close(field, padded[1:-1, 1:-1])


def test_fields_are_averaged_over_images() -> None:
    class Square(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image**2

    images = pictures(3)
    field = effective_receptive_field(Square(), images)
    assert field[8, 12].item() == pytest.approx(2 * images[:, :, 8, 12].sum(1).mean().item())
    assert field.count_nonzero() == 1


def test_super_resolution_uses_the_enlarged_position() -> None:
    field = effective_receptive_field(nn.PixelShuffle(2), pictures(channels=12), "bottom right")
    assert field.nonzero().tolist() == [[15, 23]]


def small_network() -> EAMamba:
    torch.manual_seed(0)
    settings = EAMambaSettings(
        dim=16,
        num_blocks=(1, 1, 1, 1),
        num_refinement_blocks=1,
        mamba_cfg=MambaSettings(scan_count=8, d_state=4),
    )
    model = EAMamba(settings).eval()
    set_backend(model, "reference")  # small enough, and nothing to compile
    return model


@pytest.mark.parametrize("position", ["centre", "top right"])
def test_eamamba_sees_the_whole_image(position: str) -> None:
    model = small_network()
    field = effective_receptive_field(model, pictures(1), position)
    assert field.shape == (16, 24)
    assert (field > 0).all()
    assert field.argmax().item() == PIXELS[position][0] * 24 + PIXELS[position][1]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_display_is_the_fourth_root_normalised() -> None:
    field = torch.tensor([[0.0, 1.0], [16.0, 81.0]])
    torch.testing.assert_close(for_display(field), torch.tensor([[0, 1 / 3], [2 / 3, 1]]))
    assert torch.equal(for_display(torch.zeros(2, 2)), torch.zeros(2, 2))


@every_position
def test_one_pixel_is_the_smallest_area(position: str) -> None:
    field = torch.zeros(16, 24)
    field[PIXELS[position]] = 3
    assert high_contribution_area(field, 0.99, position) == 1 / (16 * 24)


def test_an_even_field_takes_as_much_area_as_its_share() -> None:
    field = torch.full((101, 101), 0.5)
    for share in (0.2, 0.3, 0.5, 0.99):
        square = next(side for side in range(1, 102, 2) if side**2 >= share * 101**2)
        assert high_contribution_area(field, share) == pytest.approx((square / 101) ** 2)
        corner = high_contribution_area(field, share, "bottom right")
        assert corner == pytest.approx(share, abs=0.02)


def test_a_contribution_counts_by_the_logarithm_of_one_plus_its_value() -> None:
    field = torch.zeros(5, 5)
    field[2, 2], field[0, 2] = 99, 9  # log10(1 + value): 2 and 1
    assert high_contribution_area(field, 0.6) == pytest.approx(1 / 25)
    assert high_contribution_area(field, 0.7) == pytest.approx(1)


def test_a_field_of_zeros_has_no_area() -> None:
    assert high_contribution_area(torch.zeros(4, 4), 0.5) == 0


def test_an_area_needs_a_share_and_a_known_position() -> None:
    with pytest.raises(ReceptiveFieldError, match="share of 1; expected more than 0 and less"):
        high_contribution_area(torch.ones(4, 4), 1)
    with pytest.raises(ReceptiveFieldError, match=r"'middle'; use one of centre"):
        high_contribution_area(torch.ones(4, 4), 0.5, "middle")


def task(images: int, size: int) -> TaskSettings:
    return TaskSettings.model_validate(
        {
            "task": "denoise_gaussian",
            "title": "Gaussian noise",
            "profile": "smoke",
            "model": {"architecture": "eamamba"},
            "data": {},
            "training": {"stages": [{"patch": 32, "batch": 1, "iterations": 1}]},
            "evaluation": {"receptive_field_images": images, "receptive_field_size": size},
        }
    )


def test_inputs_are_noisy_centre_crops_of_test_images() -> None:
    inputs = network_inputs(task(images=2, size=64))
    assert [image.shape for image in inputs] == [(3, 64, 64)] * 2
    assert not torch.equal(inputs[0], inputs[1])
    assert any(image.min() < 0 or image.max() > 1 for image in inputs)


def test_what_has_no_field_is_named() -> None:
    with pytest.raises(ReceptiveFieldError, match=r"'middle'; use one of centre, top left"):
        effective_receptive_field(nn.Identity(), pictures(), "middle")
    with pytest.raises(ReceptiveFieldError, match="no pixels"):
        effective_receptive_field(nn.Identity(), [])
    with pytest.raises(ReceptiveFieldError, match="16×24, 8×24 pixels; expected"):
        effective_receptive_field(nn.Identity(), [pictures()[0], pictures()[0][:, :8]])
    with pytest.raises(ReceptiveFieldError, match="4096 pixels on both sides"):
        network_inputs(task(images=2, size=4096))
