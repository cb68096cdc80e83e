"""PSNR and the variants of SSIM that image restoration papers report.

Images are (C, H, W) arrays or tensors with colours in [0, 1]. Nothing is rounded or clipped here:
if a protocol scores 8-bit PNG files, pass the images through `round_to_8_bits` first.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from eamamba.config import EAMambaError

Image = Tensor | np.ndarray

STANDARD_CROP = 5
"""Outer pixels excluded from the mean SSIM by common implementations: half a window."""
PAPER_CROP = 10
"""Outer pixels excluded in the scores of the EAMamba paper: half a window plus 5."""

# Wang et al. 2004: an 11x11 Gaussian window with sigma 1.5.
_SIGMA = 1.5
_TRUNCATE = 3.5
_C1, _C2 = 0.01**2, 0.03**2

# ITU-R BT.601 luma of R, G, B in [0, 1], on the studio scale 16 ... 235 of 255.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_LUMA_OFFSET = 16 / 255


class MetricError(EAMambaError, ValueError):
    """Two images that cannot be compared, or an image that is too small to score."""


def _as_array(image: Image) -> np.ndarray:
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        # NumPy has no bfloat16
        image = image.double() if image.is_floating_point() else image
    array = np.asarray(image)
    if array.ndim != 3:
        raise MetricError(
            f"image of shape {tuple(array.shape)}: expected (channels, height, width); "
            "measure the images of a batch one by one"
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise MetricError(
            f"image of type {array.dtype}: expected floating-point colours in [0, 1]; "
            "divide 8-bit values by 255"
        )
    return array.astype(np.float64)


def _as_pair(restored: Image, clean: Image) -> tuple[np.ndarray, np.ndarray]:
    first, second = _as_array(restored), _as_array(clean)
    if first.shape != second.shape:
        raise MetricError(
            f"restored image of shape {first.shape}, clean image of shape {second.shape}: "
            "expected equal shapes; crop the padding or check the pairing"
        )
    return first, second


def luminance(image: Image) -> np.ndarray:
    """Return the Y channel of an RGB image.

    Parameters
    ----------
    image : (3, H, W) floating, R, G, B in [0, 1]

    Returns
    -------
    (1, H, W) float64 in [16/255, 235/255]
        ITU-R BT.601: (65.481 R + 128.553 G + 24.966 B + 16) / 255.

    Raises
    ------
    MetricError
        If the image does not have three channels.
    """
    array = _as_array(image)
    if array.shape[0] != 3:
        raise MetricError(f"image with {array.shape[0]} channels: expected R, G, B for luminance")
    return np.tensordot(_LUMA, array, axes=1)[np.newaxis] + _LUMA_OFFSET


def cut_border(image: Image, pixels: int) -> Image:
    """Return the image without its outer `pixels` rows and columns.

    Super-resolution scores exclude a border as wide as the scale factor.

    Raises
    ------
    MetricError
        If nothing would be left.
    """
    height, width = image.shape[-2:]
    if pixels < 0 or min(height, width) <= 2 * pixels:
        raise MetricError(
            f"image of {height}x{width} pixels: cannot crop a border of {pixels} pixels from it"
        )
    return image[..., pixels : height - pixels, pixels : width - pixels]


def round_to_8_bits(image: Image) -> np.ndarray:
    """Return the image as stored in an 8-bit file: clipped to [0, 1], rounded to 1/255; float64."""
    return np.rint(np.clip(_as_array(image), 0, 1) * 255) / 255


def psnr(restored: Image, clean: Image) -> float:
    """Return the peak signal-to-noise ratio in dB, 20 log10(1 / RMSE) over all channels.

    Parameters
    ----------
    restored, clean : (C, H, W) floating in [0, 1]

    Returns
    -------
    float
        `math.inf` for identical images.

    Raises
    ------
    MetricError
        If shapes differ or values are not floating point.
    """
    first, second = _as_pair(restored, clean)
    mean_squared_error = float(np.mean((first - second) ** 2))
    if mean_squared_error == 0:
        return math.inf
    return -10 * math.log10(mean_squared_error)


def ssim(restored: Image, clean: Image, *, crop: int = STANDARD_CROP) -> float:
    """Return the mean structural similarity of the channels.

    Each channel is compared with an 11x11 Gaussian window with sigma 1.5, population covariances,
    K1 = 0.01, K2 = 0.03 and a data range of 1.

    Parameters
    ----------
    restored, clean : (C, H, W) floating in [0, 1]
    crop : int
        Outer pixels of the similarity map that the mean excludes: `STANDARD_CROP` keeps the
        windows that lie completely inside the image; the paper's tables need `PAPER_CROP`.

    Raises
    ------
    MetricError
        If shapes differ, values are not floating point, or nothing is left after the crop.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004.
    """
    first, second = _as_pair(restored, clean)
    size = min(first.shape[1:])
    if size <= 2 * max(crop, STANDARD_CROP):
        raise MetricError(
            f"image of {first.shape[1]}x{first.shape[2]} pixels: too small for an 11x11 window "
            f"and a crop of {crop} pixels; expected more than {2 * max(crop, STANDARD_CROP)}"
        )
    _, similarity = structural_similarity(
        first,
        second,
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(np.mean(cut_border(similarity, crop)))


def volume_ssim(restored: Image, clean: Image) -> float:
    """Return the SSIM of two colour images as MATLAB's ``ssim`` computes it for H x W x 3 arrays.

    Colour is treated as a third spatial axis: an 11x11x11 Gaussian window with sigma 1.5,
    replicated borders, and the mean over the whole map. The published scores on SIDD, GoPro and
    HIDE use it; on noisy images, they exceed `ssim` by up to 0.5.

    Parameters
    ----------
    restored, clean : (C, H, W) floating in [0, 1]

    Raises
    ------
    MetricError
        If shapes differ or values are not floating point.
    """
    first, second = _as_pair(restored, clean)

    def window_mean(volume: np.ndarray) -> np.ndarray:
        return gaussian_filter(volume, _SIGMA, mode="nearest", truncate=_TRUNCATE)

    mean_1, mean_2 = window_mean(first), window_mean(second)
    variances = window_mean(first**2 + second**2) - mean_1**2 - mean_2**2
    covariance = window_mean(first * second) - mean_1 * mean_2
    similarity = ((2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)) / (
        (mean_1**2 + mean_2**2 + _C1) * (variances + _C2)
    )
    return float(np.mean(similarity))
