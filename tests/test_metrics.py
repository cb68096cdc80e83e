"""Metrics: golden values of an independent implementation, and laws."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from eamamba.evaluation.metrics import (
    PAPER_CROP,
    MetricError,
    cut_border,
    luminance,
    psnr,
    round_to_8_bits,
    ssim,
    volume_ssim,
)

FOLDER = Path(__file__).parent / "golden"
PAIRS = load_file(FOLDER / "metrics.safetensors")
VALUES = json.loads((FOLDER / "metrics.json").read_text())
every_golden_pair = pytest.mark.parametrize("name", VALUES)


def golden_pair(name: str) -> tuple[Tensor, Tensor]:
    return PAIRS[f"{name}.pred"][0].double() / 255, PAIRS[f"{name}.gt"][0].double() / 255


@every_golden_pair
def test_rgb_values_are_the_golden_ones(name: str) -> None:
    restored, clean = golden_pair(name)
    assert psnr(restored, clean) == pytest.approx(VALUES[name]["psnr_rgb"], abs=1e-9)
    measured = ssim(restored, clean, crop=PAPER_CROP)
    assert measured == pytest.approx(VALUES[name]["ssim_rgb"], abs=1e-9)
    assert measured != pytest.approx(ssim(restored, clean), abs=1e-6)


@every_golden_pair
def test_luminance_values_are_the_golden_ones(name: str) -> None:
    restored, clean = map(luminance, golden_pair(name))
    assert psnr(restored, clean) == pytest.approx(VALUES[name]["psnr_y"], abs=1e-6)
    measured = ssim(restored, clean, crop=PAPER_CROP)
    assert measured == pytest.approx(VALUES[name]["ssim_y"], abs=1e-6)


@every_golden_pair
def test_volume_values_are_the_golden_ones(name: str) -> None:
    measured = volume_ssim(*golden_pair(name))
    assert measured == pytest.approx(VALUES[name]["ssim_matlab_volume"], abs=1e-9)


@pytest.mark.parametrize("measure", [psnr, ssim, volume_ssim])
def test_measures_are_symmetric_and_fall_with_the_error(measure) -> None:
    generator = np.random.default_rng(0)
    clean = generator.random((3, 40, 48))
    error = generator.normal(size=clean.shape)
    values = [measure(clean + size * error, clean) for size in (0.01, 0.1, 0.3)]
    assert values == sorted(values, reverse=True)
    assert measure(clean, clean + error) == pytest.approx(measure(clean + error, clean))


@pytest.mark.parametrize("measure", [psnr, ssim, volume_ssim])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_every_floating_type_is_measured(measure, dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    restored, clean = images.to(dtype).requires_grad_()
    exact = [image.detach().double() for image in (restored, clean)]  # what the type can hold
    assert measure(restored, clean) == measure(*exact)
    assert measure(restored, exact[1]) == measure(*exact)


@pytest.mark.parametrize("measure", [psnr, ssim, volume_ssim])
def test_arrays_and_tensors_give_the_same_value(measure) -> None:
    restored, clean = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert measure(restored, clean) == measure(restored.numpy(), clean.numpy())
    assert measure(restored.requires_grad_(), clean) == measure(restored, clean)


def test_identical_images() -> None:
    image = torch.full((3, 32, 32), 0.25)
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1)
    assert volume_ssim(image, image) == pytest.approx(1)


def test_psnr_of_a_known_error() -> None:
    assert psnr(np.full((1, 4, 4), 0.6), np.full((1, 4, 4), 0.5)) == pytest.approx(20)


def test_luminance_spans_the_studio_range() -> None:
    np.testing.assert_allclose(luminance(np.zeros((3, 2, 2))), 16 / 255)
    np.testing.assert_allclose(luminance(np.ones((3, 2, 2))), 235 / 255)


def test_cut_border_and_rounding() -> None:
    image = torch.arange(42.0).reshape(1, 6, 7)
    assert torch.equal(cut_border(image, 2), image[:, 2:4, 2:5])
    assert cut_border(image, 0).shape == image.shape
    rounded = round_to_8_bits(np.array([[[-1.0, 0.1, 0.5, 2.0]]]))
    np.testing.assert_allclose(rounded * 255, [[[0, 26, 128, 255]]])


def test_errors_say_what_came_and_what_was_expected() -> None:
    image = torch.rand(3, 16, 16)
    with pytest.raises(MetricError, match=r"\(3, 16, 16\).*\(3, 16, 8\)"):
        psnr(image, image[..., :8])
    with pytest.raises(MetricError, match=r"uint8: expected floating-point"):
        ssim(image, (image * 255).byte())
    with pytest.raises(MetricError, match=r"\(1, 3, 16, 16\).*one by one"):
        volume_ssim(image[None], image[None])
    with pytest.raises(MetricError, match=r"16x16 pixels: too small.*more than 20"):
        ssim(image, image, crop=PAPER_CROP)
    with pytest.raises(MetricError, match=r"8x16 pixels: cannot crop a border of 4"):
        cut_border(image[:, :8], 4)
    with pytest.raises(MetricError, match=r"1 channels: expected R, G, B"):
        luminance(image[:1])
