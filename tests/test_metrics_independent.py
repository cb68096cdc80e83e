"""The metrics against independent programs: pyiqa's values, OpenCV, and MATLAB's steps by hand.

``golden/metrics_pyiqa.json`` was computed once with pyiqa 0.1.16, in float64, from the 8-bit pairs
in ``golden/metrics.safetensors``: pyiqa needs large packages that this project does not.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file
from skimage.color import rgb2ycbcr
from torch import Tensor

from eamamba.config import ProtocolSettings
from eamamba.evaluation import score
from eamamba.evaluation.metrics import luminance, psnr, round_to_8_bits, ssim

FOLDER = Path(__file__).parent / "golden"
PAIRS = load_file(FOLDER / "metrics.safetensors")
PYIQA = json.loads((FOLDER / "metrics_pyiqa.json").read_text())
PYIQA_SSIM = 5e-5
"""It lifts negative values of the similarity map to 0, which noisy pairs have."""
every_pair = pytest.mark.parametrize("name", PYIQA)
MATLAB = ProtocolSettings(colour="y8", eight_bit=True)


def pair(name: str) -> tuple[Tensor, Tensor]:
    return PAIRS[f"{name}.pred"][0].double() / 255, PAIRS[f"{name}.gt"][0].double() / 255


def as_bytes(image: Tensor) -> np.ndarray:
    """Return an image as OpenCV and MATLAB hold it, (H, W, 3) uint8."""
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


def matlab_luminance(image: Tensor) -> np.ndarray:
    """Y of an 8-bit image, itself 8 bits, as MATLAB's ``rgb2ycbcr`` returns it."""
    return np.rint(rgb2ycbcr(as_bytes(image))[..., 0]).astype(np.uint8)


def ssim_by_hand(restored: np.ndarray, clean: np.ndarray) -> float:
    """SSIM of one 8-bit channel over windows inside the image, step by step as in Wang's script."""
    window = cv2.getGaussianKernel(11, 1.5)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_64F, window, window)[5:-5, 5:-5]

    x, y = restored.astype(np.float64), clean.astype(np.float64)
    products = mean(x * y) - mean(x) * mean(y)
    squares = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    brightness = (2 * mean(x) * mean(y) + c1) / (mean(x) ** 2 + mean(y) ** 2 + c1)
    return float((brightness * (2 * products + c2) / (squares + c2)).mean())


@every_pair
def test_psnr_is_that_of_pyiqa_and_opencv(name: str) -> None:
    restored, clean = pair(name)
    measured = psnr(restored, clean)
    assert measured == pytest.approx(PYIQA[name]["psnr_rgb"], abs=1e-6)
    assert measured == pytest.approx(cv2.PSNR(as_bytes(restored), as_bytes(clean)), abs=1e-6)


@every_pair
def test_luminance_is_that_of_pyiqa_and_scikit_image(name: str) -> None:
    restored, clean = pair(name)
    theirs = rgb2ycbcr(clean.permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(255 * luminance(clean)[0], theirs, atol=1e-9)
    measured = psnr(luminance(restored), luminance(clean))
    assert measured == pytest.approx(PYIQA[name]["psnr_y"], abs=1e-6)


@every_pair
def test_ssim_is_that_of_pyiqa_and_by_hand(name: str) -> None:
    restored, clean = pair(name)
    assert ssim(restored, clean) == pytest.approx(PYIQA[name]["ssim_rgb"], abs=PYIQA_SSIM)
    luma = ssim(luminance(restored), luminance(clean))
    assert luma == pytest.approx(PYIQA[name]["ssim_y"], abs=PYIQA_SSIM)
    channels = zip(as_bytes(restored).T, as_bytes(clean).T, strict=True)
    by_hand = np.mean([ssim_by_hand(x, y) for x, y in channels])
    assert ssim(restored, clean) == pytest.approx(by_hand, abs=1e-8)


@every_pair
def test_rounded_luminance_is_that_of_pyiqa_and_matlab(name: str) -> None:
    restored, clean = pair(name)
    measured = score(restored, clean, MATLAB)["psnr_db"]
    # values half-way between two integers go up or down with the last bit
    by_hand = cv2.PSNR(matlab_luminance(restored), matlab_luminance(clean))
    assert measured == pytest.approx(by_hand, abs=1e-4)
    assert measured == pytest.approx(PYIQA[name]["psnr_rounded_y"], abs=1e-4)
    luma = [round_to_8_bits(luminance(image)) for image in (restored, clean)]
    assert ssim(*luma) == pytest.approx(PYIQA[name]["ssim_rounded_y"], abs=PYIQA_SSIM)


@every_pair
def test_rounding_luminance_costs_what_two_rounding_errors_add(name: str) -> None:
    restored, clean = pair(name)
    exact = psnr(luminance(restored), luminance(clean))
    squared_error = 255**2 * 10 ** (-exact / 10)
    expected = -10 * math.log10(1 + 2 / 12 / squared_error)  # a rounding error has variance 1/12
    change = score(restored, clean, MATLAB)["psnr_db"] - exact
    assert change < 0
    assert change == pytest.approx(expected, rel=0.15, abs=0.001)
