"""Resampling: MATLAB's antialiased bicubic, and a low-resolution camera for real photographs."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.light import to_linear_light, to_srgb, uniform


class LowResolutionPhoto(NamedTuple):
    """A photograph of an image by a lower-resolution camera, with the intermediate images."""

    blurred: Tensor  # (3, H, W): linear light behind the lens
    sampled: Tensor  # (3, h, w): linear light on the sensor
    noisy: Tensor  # (3, h, w)
    sharpened: Tensor  # (3, h, w)
    jpeg_quality: int
    compressed: Tensor  # (3, h, w); equal to `sharpened` at strength 0
    enlarged: Tensor  # (3, H, W)


def bicubic_downsample(image: Tensor, scale: int) -> Tensor:
    """Shrink an image by an integer factor as MATLAB's ``imresize`` does.

    Antialiased bicubic kernel (Keys, a = -0.5), symmetric padding; neither clipped nor rounded.

    Parameters
    ----------
    image : (C, H, W) floating
        H and W must be multiples of `scale`: see `crop_to_multiple`.
    scale : int, at least 1

    Returns
    -------
    (C, H / scale, W / scale)

    Raises
    ------
    ValueError
        The size is not a multiple of `scale`.
    """
    height, width = image.shape[1:]
    if height % scale or width % scale:
        raise ValueError(
            f"image of {height}x{width} pixels: expected multiples of {scale}; "
            "use crop_to_multiple first"
        )
    # The shrunk kernel reaches 2 * scale pixels; 4 whole output pixels are more than enough.
    margin = 4
    rows = np.pad(np.arange(height), margin * scale, mode="symmetric")
    columns = np.pad(np.arange(width), margin * scale, mode="symmetric")
    padded = image[:, torch.from_numpy(rows)][:, :, torch.from_numpy(columns)]
    size = (height // scale + 2 * margin, width // scale + 2 * margin)
    return resize(padded, size)[:, margin:-margin, margin:-margin].contiguous()


def crop_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Crop the right and bottom edges so that height and width are multiples of a number."""
    height, width = image.shape[-2:]
    return image[..., : height - height % multiple, : width - width % multiple]


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, H, W) to `size` = (height, width) with the antialiased bicubic kernel."""
    return F.interpolate(
        image[None], size=size, mode="bicubic", antialias=True, align_corners=False
    )[0]


def low_resolution_camera(
    clean: Tensor, rng: Generator, *, scale: int = 2, strength: float = 1.0
) -> Tensor:
    """Photograph the image with a lower-resolution camera and resize back to the same grid.

    Lens blur (a random, elliptic Gaussian, in linear light), sampling at 1 / scale, photon and
    read noise, sharpening (an unsharp mask of random amount and width), JPEG compression, bicubic
    enlargement.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    rng : Generator
    scale : int
        Ratio of the two resolutions, at least 1.
    strength : float
        Factor of blur width, noise variance, sharpening and JPEG loss. At 0 only the loss of
        resolution remains; with `scale` 1 as well, the image is returned unchanged.

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Zhang, Liang, Van Gool, Timofte, "Designing a practical degradation model for deep blind
    image super-resolution", ICCV 2021.
    """
    return simulate_low_resolution_camera(clean, rng, scale=scale, strength=strength).enlarged


def simulate_low_resolution_camera(
    clean: Tensor, rng: Generator, *, scale: int = 2, strength: float = 1.0
) -> LowResolutionPhoto:
    """Run `low_resolution_camera` and also return the result of each stage."""
    kernel = _elliptic_gaussian(
        strength * uniform(rng, 0.2, 0.55) * scale,
        strength * uniform(rng, 0.2, 0.55) * scale,
        uniform(rng, 0, math.pi),
    )
    photon, read = strength * uniform(rng, 0, 1e-4), strength * uniform(rng, 0, 2e-6)
    quality = round(max(100 - strength * uniform(rng, 2, 10), 5))
    amount, width = strength * uniform(rng, 0, 2), uniform(rng, 0.5, 1.2)

    reach = kernel.shape[0] // 2
    linear = F.pad(to_linear_light(clean)[None], (reach,) * 4, mode="replicate")
    blurred = F.conv2d(linear, kernel.expand(3, 1, -1, -1), groups=3)[0]
    size = (math.ceil(clean.shape[1] / scale), math.ceil(clean.shape[2] / scale))
    sampled = resize(blurred, size).clamp(0, 1)
    deviation = (photon * sampled + read).sqrt()
    noise = deviation * torch.randn(sampled.shape, generator=rng)
    noisy = to_srgb((sampled + noise).clamp(0, 1))
    sharpened = _unsharp(noisy, amount, width)
    compressed = jpeg(sharpened, quality) if strength > 0 else sharpened
    enlarged = resize(compressed, (clean.shape[1], clean.shape[2])).clamp(0, 1)
    return LowResolutionPhoto(blurred, sampled, noisy, sharpened, quality, compressed, enlarged)


def _unsharp(image: Tensor, amount: float, width: float) -> Tensor:
    """Add `amount` times what a Gaussian blur of standard deviation `width` removes."""
    kernel = _elliptic_gaussian(width, width, 0)
    reach = kernel.shape[0] // 2
    padded = F.pad(image[None], (reach,) * 4, mode="replicate")
    blurred = F.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)[0]
    return (image + amount * (image - blurred)).clamp(0, 1)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress (3, H, W) in [0, 1] as JPEG of quality 1 to 100, and decode it."""
    samples = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(buffer) as decoded:
        restored = np.asarray(decoded, dtype=np.float32) / np.float32(255)
    return torch.from_numpy(restored).permute(2, 0, 1).contiguous()


def _elliptic_gaussian(sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """Return an odd square kernel of sum 1, its axes turned by `angle`."""
    reach = max(1, math.ceil(3 * max(sigma_x, sigma_y)))
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0)] * 2, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    narrowest = 1e-3  # a width of 0 gives a plain copy
    exponent = (along / max(sigma_x, narrowest)) ** 2 + (across / max(sigma_y, narrowest)) ** 2
    kernel = torch.exp(-exponent / 2)
    return kernel / kernel.sum()
