"""Write image files atomically, with everything that their format can hold."""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eamamba.files import write_atomically
from eamamba.images.colours import gray_to_srgb
from eamamba.images.metadata import fitting_profile
from eamamba.images.photo import ImageError, Photo
from eamamba.images.png import encode_png_16_bit, is_srgb, with_metadata
from eamamba.images.tiff_writing import encode_tiff

_FORMATS = {
    ".bmp": "BMP",
    ".jfif": "JPEG",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
WRITABLE_SUFFIXES = tuple(_FORMATS)
_OPAQUE_FORMATS = ("BMP", "JPEG")
_LARGEST_SIDES = {"JPEG": 65500, "WEBP": 16383}
_JPEG_SEGMENT_BYTES = 65533
# Length of the header of EXIF data and XMP in their segments; Pillow's EXIF block includes it.
_JPEG_PREFIX_BYTES = {"exif": 0, "xmp": 29}
_ENCODER_OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True},
}


def write_photo(path: str | os.PathLike[str], photo: Photo) -> None:
    """Write a photograph; the suffix of the path determines the format.

    Colours are clipped to [0, 1] and rounded. The file is written atomically: to a temporary file,
    which is then moved into place. PNG and TIFF keep everything; the other formats get 8 bits. WebP
    files become RGB and lose the pixels per inch; BMP files lose EXIF data, XMP and profile. A
    profile for images with other channels is left out.

    Raises
    ------
    ImageError
        As `check_target`; or wrong shape, NaN or infinite colours, or a full disk.
    """
    path = Path(path)
    check_target(path, photo)
    if not all(torch.isfinite(part).all() for part in (photo.rgb, photo.alpha) if part is not None):
        raise ImageError(f"{path}: colours hold NaN or infinite values; nothing was written")
    try:
        content = _encode(_FORMATS[path.suffix.lower()], photo)
    except (OSError, ValueError) as error:
        size = f"{photo.rgb.shape[2]}x{photo.rgb.shape[1]}"
        raise ImageError(f"{path}: cannot hold {size} pixels ({error}); use .png") from error
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ImageError(f"{path}: cannot write the file ({error.strerror})") from error


def write_image(path: str | os.PathLike[str], rgb: Tensor) -> None:
    """Write (3, H, W) colours in [0, 1] as an 8-bit RGB file; see `write_photo`."""
    write_photo(path, Photo(rgb))


def check_target(path: str | os.PathLike[str], photo: Photo, *, upscale: int = 1) -> None:
    """Check, before computing a photograph, that it can be written.

    Parameters
    ----------
    path : path
    photo : Photo
        Has the transparency, size and metadata of the photograph that will be written.
    upscale : int
        Scale factor between the written photograph and this one.

    Raises
    ------
    ImageError
        Unknown suffix; transparency, colour information (gAMA), size or metadata that the format
        cannot hold; tensors of the wrong shape; or anything that `check_place` refuses.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ImageError(
            f"{path}: cannot write files ending in {path.suffix!r}; use {', '.join(_FORMATS)}"
        )
    _check_tensors(path, photo)
    file_format = _FORMATS[suffix]
    height, width = (side * upscale for side in photo.rgb.shape[1:])
    if max(height, width) > _LARGEST_SIDES.get(file_format, 2**31 - 1):
        raise ImageError(f"{path}: {suffix} files cannot hold {width}x{height} pixels; use .png")
    if file_format in _OPAQUE_FORMATS and not _is_opaque(photo):
        raise ImageError(f"{path}: {suffix} files cannot be transparent; use .png")
    if file_format != "PNG" and not is_srgb(photo):
        raise ImageError(
            f"{path}: {suffix} files cannot record that the colours are not sRGB (gAMA, cHRM or "
            "cICP of a PNG file); use .png"
        )
    if file_format == "JPEG":
        for name, before in _JPEG_PREFIX_BYTES.items():
            size = len(getattr(photo, name) or b"") + before
            if size > _JPEG_SEGMENT_BYTES:
                raise ImageError(
                    f"{path}: {suffix} files cannot hold {size} bytes of {name.upper()} data, at "
                    f"most {_JPEG_SEGMENT_BYTES}; use .png"
                )
    check_place(path)


def check_place(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written at a path, whatever its content.

    Raises
    ------
    ImageError
        The folder is missing or not writable, the path is a folder, or the name is too long.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ImageError(f"{path}: no folder {path.parent}; create it first")
    try:
        if path.is_dir():
            raise ImageError(f"{path}: a folder has this name; choose another name")
        os.path.lexists(path)
        # by trying, because permissions do not reveal read-only file systems
        trial = path.with_name(f".{secrets.token_hex(4)}.tmp")
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise ImageError(f"{path}: cannot write the file ({error.strerror})") from error


def _check_tensors(path: Path, photo: Photo) -> None:
    if photo.rgb.ndim != 3 or photo.rgb.shape[0] != 3 or photo.rgb.numel() == 0:
        raise ImageError(f"{path}: colours of shape {tuple(photo.rgb.shape)}; expected (3, H, W)")
    if photo.alpha is not None and photo.alpha.shape != (1, *photo.rgb.shape[1:]):
        raise ImageError(
            f"{path}: transparency of shape {tuple(photo.alpha.shape)} for colours of shape "
            f"{tuple(photo.rgb.shape)}; expected (1, H, W) of the same size"
        )
    if photo.bits not in (8, 16):
        raise ImageError(f"{path}: {photo.bits} bits per channel; expected 8 or 16")


def _is_opaque(photo: Photo) -> bool:
    return photo.alpha is None or bool(((photo.alpha * 255).round() >= 255).all())


def _encode(file_format: str, photo: Photo) -> bytes:
    bits = photo.bits if file_format in ("PNG", "TIFF") else 8
    samples = _samples(photo, bits, with_alpha=file_format not in _OPAQUE_FORMATS)
    profile = fitting_profile(photo.icc_profile, photo.is_gray)
    if file_format == "TIFF":
        return encode_tiff(samples, photo, profile)
    if file_format == "WEBP" and profile and profile[16:20] == b"GRAY":
        colours = gray_to_srgb(samples[..., :1], profile)
        samples, profile = np.concatenate([colours, samples[..., 1:]], -1), None
    if file_format == "PNG":
        plain = encode_png_16_bit(samples) if bits == 16 else _encode_8(samples, "PNG", {})
        return with_metadata(plain, photo, profile)
    about = {"icc_profile": profile, "exif": photo.exif, "xmp": photo.xmp, "dpi": photo.dpi}
    known = {"BMP": ("dpi",)}.get(file_format, tuple(about))
    return _encode_8(samples, file_format, {key: about[key] for key in known if about[key]})


def _samples(photo: Photo, bits: int, *, with_alpha: bool) -> np.ndarray:
    """Return (H, W, channels) of the file: gray or RGB, then transparency if there is any."""
    largest = 2**bits - 1
    rgb = photo.rgb.detach().to("cpu", torch.float64)
    colours = rgb.mean(0, keepdim=True) if photo.is_gray else rgb
    if photo.alpha is not None and with_alpha:
        colours = torch.cat([colours, photo.alpha.detach().to("cpu", torch.float64)])
    rounded = (colours.clamp(0, 1) * largest).round().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(rounded.astype(np.uint16 if bits == 16 else np.uint8))


def _encode_8(samples: np.ndarray, file_format: str, about: dict[str, object]) -> bytes:
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **_ENCODER_OPTIONS.get(file_format, {}), **about)
    return buffer.getvalue()
