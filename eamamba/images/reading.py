"""Reading image files of every common kind."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms
from torch import Tensor

from eamamba.images.photo import ImageError, Photo

READABLE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG = 258
_GRAY_MODES = ("1", "L", "LA", "La")


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Read an image file of any common kind, turned upright as its EXIF data says.

    Palette, bilevel, CMYK (through its profile if it has one), gray, transparent and 16-bit
    pictures are understood; of an animation or a multi-page file the first page is read.

    Raises
    ------
    ImageError
        Missing, empty, truncated, or not an image; or more than 179 million pixels.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: a folder; expected an image file")
    if not path.is_file():
        raise ImageError(f"{path}: no such file; check the spelling of the path")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: empty file (0 bytes); copy or download it again")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and large sizes; neither hinders reading the pixels.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.load()
                return _decode(path, image)
    except (ImageError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"{path}: not an image in a known format; expected PNG, JPEG, TIFF, WebP or BMP"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; cut the picture into smaller files") from None
    except Exception as error:  # decoders of damaged files raise errors of every kind
        raise ImageError(f"{path}: damaged image ({error}); copy or download it again") from error


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Return the colours of an image file, (3, H, W) float32 in [0, 1]; see `read_photo`."""
    return read_photo(path).rgb


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files directly inside a folder, sorted by name.

    Raises
    ------
    ImageError
        No such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; check the spelling of the path")
    files = (path for path in folder.iterdir() if path.suffix.lower() in READABLE_SUFFIXES)
    images = sorted(path for path in files if path.is_file() and not path.name.startswith("."))
    if not images:
        raise ImageError(f"{folder}: no images; expected files in {', '.join(READABLE_SUFFIXES)}")
    return images


def _decode(path: Path, image: Image.Image) -> Photo:
    """Turn an opened picture into a `Photo`."""
    icc_profile = image.info.get("icc_profile")
    exif, orientation = _read_exif(image)
    is_gray = image.mode in _GRAY_MODES
    bits, largest = 8, 255.0
    if _is_16_bit(path, image):
        samples, bits, largest = _read_16_bit(path), 16, 65535.0
        is_gray = image.mode.startswith("I;16") or _is_gray_png(path)
    elif image.mode in ("I", "F"):
        samples, bits, largest, is_gray = _read_wide_gray(path, image), 16, 1.0, True
    else:
        if image.mode in ("CMYK", "LAB"):
            image, icc_profile = _to_srgb(image, icc_profile), None
        samples = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    upright = np.ascontiguousarray(_rotate_upright(samples, orientation).transpose(2, 0, 1))
    channels = torch.from_numpy(upright.astype(np.float32) / np.float32(largest))
    if channels.shape[0] == 1:
        channels = channels.repeat(3, 1, 1)
    alpha = channels[3:].clone() if channels.shape[0] == 4 else None
    return Photo(channels[:3].contiguous(), alpha, is_gray, bits, icc_profile or None, exif)


def _is_16_bit(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        return _png_header(path)[0] == 16
    tags = getattr(image, "tag_v2", {})
    depth = np.atleast_1d(tags.get(_BITS_PER_SAMPLE_TAG, 8))
    return image.mode.startswith("I;16") or (image.mode in ("RGB", "RGBA") and 16 in depth)


def _png_header(path: Path) -> tuple[int, int]:
    """Return the bit depth and the colour type of a PNG file."""
    with path.open("rb") as file:
        start = file.read(26)
    return start[24], start[25]


def _is_gray_png(path: Path) -> bool:
    with path.open("rb") as file:
        is_png = file.read(8) == b"\x89PNG\r\n\x1a\n"
    return is_png and _png_header(path)[1] in (0, 4)


def _read_16_bit(path: Path) -> np.ndarray:
    """Return (H, W, 1, 3 or 4) uint16; Pillow would keep the upper 8 bits of colours only."""
    try:
        import cv2
    except ImportError:
        raise ImageError(
            f"{path}: 16-bit pictures need OpenCV; pip install opencv-python-headless"
        ) from None
    samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ImageError(f"{path}: unusual 16-bit picture; save it as 16-bit RGB or gray PNG")
    if samples.ndim == 2:
        return samples[..., np.newaxis]
    return samples[..., [2, 1, 0, 3][: samples.shape[2]]]


def _read_wide_gray(path: Path, image: Image.Image) -> np.ndarray:
    """Return (H, W, 1) float32 in [0, 1] of a 32-bit gray picture, integer or floating."""
    values = np.asarray(image, dtype=np.float64)
    scaled = values / 65535 if image.mode == "I" else values
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1):
        expected = "0 to 65535" if image.mode == "I" else "0 to 1"
        raise ImageError(
            f"{path}: 32-bit gray values from {values.min():g} to {values.max():g}; "
            f"expected {expected}; scale the picture to that range first"
        )
    return scaled.astype(np.float32)[..., np.newaxis]


def _to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Convert from CMYK or Lab, through the picture's own profile where it has a valid one."""
    if icc_profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile that cannot be used is no profile
    return image.convert("RGB")


def _read_exif(image: Image.Image) -> tuple[bytes | None, int]:
    """Return the EXIF block without the orientation, and the orientation (1 to 8)."""
    try:
        exif = image.getexif()
        orientation = exif.pop(_ORIENTATION_TAG, 1)
        # Tags of a TIFF file that describe its pixel layout are not EXIF data of the photo.
        return (exif.tobytes() if exif and image.format != "TIFF" else None), orientation
    except Exception:  # damaged metadata: the pixels are still good
        return None, 1


def _rotate_upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, channels) upright; EXIF 2.3, tag Orientation."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples
