"""Images that Pillow decodes with 8 bits per channel, and their conversion to gray or RGB."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image, ImageCms

from eamamba.images.decoded import Decoded
from eamamba.images.metadata import Metadata
from eamamba.images.photo import ImageError

SEVERAL_PICTURES = "several pages or frames, expected one; split it into separate files"
_GRAY_MODES = ("1", "L", "LA", "La")
_NAMES = {"LAB": "Lab"}


def open_with_pillow(content: bytes, file_format: str) -> Image.Image:
    """Open the content of a file as exactly one format, without decoding it.

    Raises
    ------
    ImageError
        This build of Pillow does not support the format.
    Image.UnidentifiedImageError
        Damaged, or a variant of the format that Pillow does not support.
    """
    if file_format not in Image.OPEN:
        Image.init()
    if file_format not in Image.OPEN:
        raise ImageError(f"this Pillow cannot read {file_format} files; pip install -U pillow")
    return Image.open(io.BytesIO(content), formats=[file_format])


def check_size(width: int, height: int) -> None:
    """Apply Pillow's size limit, so that a few damaged bytes cannot exhaust the memory."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or width * height)
    if width * height > limit:
        raise ImageError(
            f"{width}x{height} pixels exceeds limit of {limit} pixels; "
            "cut the image into smaller files"
        )


def decode_8_bit(image: Image.Image, metadata: Metadata) -> Decoded:
    """Decode an opened image of at most 8 bits per channel as gray or RGB.

    CMYK and Lab are converted to sRGB with the profile of the image.

    Raises
    ------
    ImageError
        CMYK without a usable profile: its colours are unknown.
    """
    notes: tuple[str, ...] = ()
    if image.mode in ("CMYK", "LAB"):
        notes = (f"converted from {_NAMES.get(image.mode, image.mode)} to sRGB",)
        image = _to_srgb(image, metadata.icc_profile)
        metadata = dataclasses.replace(metadata, icc_profile=None)
    if image.mode in _GRAY_MODES:
        mode = "LA" if image.has_transparency_data else "L"
    else:
        mode = "RGBA" if image.has_transparency_data else "RGB"
    samples = np.asarray(image.convert(mode))
    samples = samples.reshape(*samples.shape[:2], -1)
    return Decoded(samples, metadata=metadata, notes=notes)


def gray_to_srgb(samples: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert (H, W, 1) uint8 with a gray profile to (H, W, 3) uint8 in sRGB."""
    converted = _apply_profile(Image.fromarray(samples[..., 0]), profile)
    return samples.repeat(3, axis=2) if converted is None else np.asarray(converted)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    converted = _apply_profile(image, profile) if profile else None
    if converted is not None:
        return converted
    if image.mode == "CMYK":
        raise ImageError(
            "CMYK without a usable colour profile, so its colours are unknown; "
            "convert it to RGB first"
        )
    return image.convert("RGB")  # Lab is device-independent


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert an image to sRGB; None if the profile is damaged or for other channels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
