"""Gaussian noise, and sensor noise after a camera's processing."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.light import normal, to_linear_light, to_srgb, uniform

EVALUATION_SEED = 2454

# A typical matrix from camera colours to linear sRGB; each row sums to 1, so white stays white.
_CAMERA_TO_SRGB = torch.tensor([[1.65, -0.5, -0.15], [-0.25, 1.55, -0.3], [0.02, -0.57, 1.55]])
# Bilinear interpolation of a Bayer mosaic: green on a quincunx grid, red and blue on a square grid.
_GREEN = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
_RED_BLUE = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
_DEMOSAIC = torch.stack([_RED_BLUE, _GREEN, _RED_BLUE])[:, None]
_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


class SensorNoise(NamedTuple):
    """A picture with sensor noise, and the intermediate images of the camera pipeline."""

    raw: Tensor  # (H, W): a Bayer mosaic
    noisy_raw: Tensor  # (H, W)
    developed: Tensor  # (3, H, W): before smoothing
    noisy: Tensor  # (3, H, W)


def gaussian_noise(clean: Tensor, sigma_255: float, rng: Generator) -> Tensor:
    """Add white Gaussian noise; the result is not clipped.

    Parameters
    ----------
    clean : (C, H, W) in [0, 1]
    sigma_255 : float
        Standard deviation in 8-bit units; 0 returns the image unchanged.
    rng : Generator
    """
    noise = torch.randn(clean.shape, generator=rng, dtype=clean.dtype)
    return clean + noise * (sigma_255 / 255)


def blind_gaussian_noise(
    clean: Tensor, rng: Generator, sigmas_255: tuple[float, float] = (0.0, 50.0)
) -> Tensor:
    """Add Gaussian noise of a strength drawn uniformly from `sigmas_255`, in 8-bit units."""
    return gaussian_noise(clean, uniform(rng, *sigmas_255), rng)


def evaluation_noise(channels: int, height: int, width: int) -> Tensor:
    """Return the unit Gaussian noise of the published test protocol, (C, H, W) float32.

    The generator is reseeded for each image, and the size is that of the *padded* image.
    Multiply by sigma / 255 and add to the padded image, without clipping.
    """
    rng = Generator().manual_seed(EVALUATION_SEED)
    return torch.randn(channels, height, width, generator=rng)


def sensor_noise(clean: Tensor, rng: Generator, *, strength: float = 1.0) -> Tensor:
    """Add the noise of a small camera sensor as it appears after the camera's processing.

    The image is taken back to raw sensor values through an inverse camera pipeline with random
    exposure, white balance and colour matrix, gets photon (Poisson) and read (Gaussian) noise of a
    random level, and is developed again: white balance, bilinear demosaicing, colour matrix, gamma,
    tone curve. Every other camera, on average, then smooths the noise, in colour more than in
    brightness, which leaves blotches several pixels wide. Only the resulting noise is added to the
    image, so the clean image remains the target, as in smartphone data sets.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1], H and W at least 2
    rng : Generator
    strength : float
        Factor of the noise variances; 0 returns the image unchanged.

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Brooks, Mildenhall, Xue, Chen, Sharlet, Barron, "Unprocessing images for learned raw
    denoising", CVPR 2019 (the camera pipeline; the noise here reaches higher levels).
    """
    return simulate_sensor_noise(clean, rng, strength=strength).noisy


def simulate_sensor_noise(clean: Tensor, rng: Generator, *, strength: float = 1.0) -> SensorNoise:
    """Run `sensor_noise` and also return the result of each stage of the camera."""
    exposure = 1 / normal(rng, 0.8, 0.1)
    gains = torch.tensor([uniform(rng, 1.9, 2.4), 1.0, uniform(rng, 1.5, 1.9)])[:, None, None]
    mixture = uniform(rng, 0, 1)
    matrix = mixture * _CAMERA_TO_SRGB + (1 - mixture) * torch.eye(3)
    log_shot = uniform(rng, math.log(4e-4), math.log(0.02))
    smoothing = float(uniform(rng, 0, 1) < 0.5)
    blotch_px = smoothing * uniform(rng, 0, 0.8), smoothing * uniform(rng, 0, 3)
    shot = strength * math.exp(log_shot)
    read = strength * math.exp(normal(rng, 2.18 * log_shot + 1.2, 0.26))

    linear = to_linear_light(_inverse_tone_curve(clean))
    camera = torch.tensordot(torch.linalg.inv(matrix), linear, dims=1) / (gains * exposure)
    raw = (camera * _bayer_pattern(*clean.shape[1:])).sum(0).clamp(0, 1)
    noisy = raw + math.sqrt(read) * torch.randn(raw.shape, generator=rng)
    if shot > 0:
        noisy = noisy + shot * torch.poisson(raw / shot, generator=rng) - raw
    change = _develop(noisy, gains * exposure, matrix) - _develop(raw, gains * exposure, matrix)
    smoothed = _smooth_noise(change, *blotch_px)
    return SensorNoise(raw, noisy, (clean + change).clamp(0, 1), (clean + smoothed).clamp(0, 1))


def _develop(raw: Tensor, gains: Tensor, matrix: Tensor) -> Tensor:
    """Turn a Bayer mosaic (H, W) into a processed image (3, H, W)."""
    mosaic = raw.clamp(0, 1) * _bayer_pattern(*raw.shape) * gains
    padded = F.pad(mosaic[None], (1, 1, 1, 1), mode="reflect")  # keeps the pattern's phase
    camera = F.conv2d(padded, _DEMOSAIC, groups=3)[0]
    linear = torch.tensordot(matrix, camera, dims=1).clamp(0, 1)
    return _tone_curve(to_srgb(linear))


def _smooth_noise(noise: Tensor, brightness_px: float, colour_px: float) -> Tensor:
    """Blur the brightness and the colour of noise (3, H, W), each by a Gaussian of its width."""
    brightness = torch.tensordot(_LUMINANCE, noise, dims=1)[None]
    colour = _gaussian_blur(noise - brightness, colour_px)
    return _gaussian_blur(brightness, brightness_px) + colour


def _gaussian_blur(maps: Tensor, sigma_px: float) -> Tensor:
    """Blur each of (C, H, W) by a Gaussian; a width of 0 changes nothing."""
    for axis in (1, 2):
        reach = min(math.ceil(3 * sigma_px), maps.shape[axis] - 1)
        taps = torch.arange(-reach, reach + 1.0)
        kernel = torch.exp(-0.5 * (taps / max(sigma_px, 1e-3)) ** 2)
        kernel = (kernel / kernel.sum()).view(1, 1, *((-1, 1) if axis == 1 else (1, -1)))
        margin = (0, 0, reach, reach) if axis == 1 else (reach, reach, 0, 0)
        maps = F.conv2d(F.pad(maps[:, None], margin, mode="reflect"), kernel)[:, 0]
    return maps


def _bayer_pattern(height: int, width: int) -> Tensor:
    """Return which colour each sensor element sees, (3, H, W) of 0 and 1: RGGB."""
    row = torch.arange(height)[:, None] % 2
    column = torch.arange(width) % 2
    return torch.stack([row + column == 0, row != column, row + column == 2]).float()


def _tone_curve(values: Tensor) -> Tensor:
    return (3 - 2 * values) * values**2


def _inverse_tone_curve(values: Tensor) -> Tensor:
    return 0.5 - torch.sin(torch.asin(1 - 2 * values.clamp(0, 1)) / 3)
