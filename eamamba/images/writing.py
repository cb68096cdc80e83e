"""Writing image files: whole or not at all, with all that their format can hold."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eamamba.files import write_atomically
from eamamba.images.photo import ImageError, Photo

# Suffix -> Pillow's format name and options of the encoder.
_FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    ".bmp": ("BMP", {}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".png": ("PNG", {}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
}


def write_photo(path: str | os.PathLike[str], photo: Photo) -> None:
    """Write a photograph; the suffix of the path chooses the format.

    Colours are clipped to [0, 1] and rounded. The file appears whole or not at all: it is
    written beside its place and then moved there. Formats without 16-bit depth get 8 bits;
    16-bit TIFF files lose their EXIF block, and become RGB if they are both gray and
    transparent; BMP files lose EXIF block and profile.

    Raises
    ------
    ImageError
        Unknown suffix, missing folder, wrong shape, NaN or infinite colours, transparency in a
        format that has none (JPEG and BMP), or more pixels than the format can hold.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ImageError(
            f"{path}: cannot write files ending in {path.suffix!r}; use {', '.join(_FORMATS)}"
        )
    _check_writable(path, photo)
    file_format, options = _FORMATS[path.suffix.lower()]
    try:
        if photo.bits == 16 and file_format == "PNG":
            data = _encode_png_16(_integer_samples(photo, 16), photo)
        elif photo.bits == 16 and file_format == "TIFF":
            data = _encode_tiff_16(_integer_samples(photo, 16), photo)
        else:
            data = _encode_8_bit(_integer_samples(photo, 8), photo, file_format, options)
    except (OSError, ValueError) as error:
        size = f"{photo.rgb.shape[2]}x{photo.rgb.shape[1]}"
        raise ImageError(f"{path}: cannot hold {size} pixels ({error}); use .png") from error
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ImageError(f"{path}: cannot write the file ({error.strerror})") from error


def write_image(path: str | os.PathLike[str], rgb: Tensor) -> None:
    """Write (3, H, W) colours in [0, 1] as an 8-bit RGB file; see `write_photo`."""
    write_photo(path, Photo(rgb))


def _check_writable(path: Path, photo: Photo) -> None:
    if not path.parent.is_dir():
        raise ImageError(f"{path}: no folder {path.parent}; create it first")
    if photo.rgb.ndim != 3 or photo.rgb.shape[0] != 3 or photo.rgb.numel() == 0:
        raise ImageError(f"{path}: colours of shape {tuple(photo.rgb.shape)}; expected (3, H, W)")
    if photo.alpha is not None and photo.alpha.shape != (1, *photo.rgb.shape[1:]):
        raise ImageError(
            f"{path}: transparency of shape {tuple(photo.alpha.shape)} for colours of shape "
            f"{tuple(photo.rgb.shape)}; expected (1, H, W) of the same size"
        )
    if photo.alpha is not None and path.suffix.lower() in (".jpg", ".jpeg", ".bmp"):
        raise ImageError(f"{path}: {path.suffix} files cannot be transparent; use .png")
    if photo.bits not in (8, 16):
        raise ImageError(f"{path}: {photo.bits} bits per channel; expected 8 or 16")
    if not all(torch.isfinite(part).all() for part in (photo.rgb, photo.alpha) if part is not None):
        raise ImageError(f"{path}: colours hold NaN or infinite values; nothing was written")


def _integer_samples(photo: Photo, bits: int) -> np.ndarray:
    """Return (H, W, channels) of the file: gray or RGB, then transparency if there is any."""
    largest = 2**bits - 1
    rgb = photo.rgb.detach().to("cpu", torch.float64)
    colours = rgb.mean(0, keepdim=True) if photo.is_gray else rgb
    if photo.alpha is not None:
        colours = torch.cat([colours, photo.alpha.detach().to("cpu", torch.float64)])
    rounded = (colours.clamp(0, 1) * largest).round().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(rounded.astype(np.uint16 if bits == 16 else np.uint8))


def _encode_8_bit(
    samples: np.ndarray, photo: Photo, file_format: str, options: dict[str, object]
) -> bytes:
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    metadata = {"icc_profile": photo.icc_profile, "exif": photo.exif}
    known = {} if file_format == "BMP" else {key: v for key, v in metadata.items() if v}
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options, **known)
    return buffer.getvalue()


def _encode_tiff_16(samples: np.ndarray, photo: Photo) -> bytes:
    import tifffile

    if samples.shape[2] == 2:  # readers of 16-bit gray with transparency are rare
        samples = samples[..., [0, 0, 0, 1]]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples[..., 0] if samples.shape[2] == 1 else samples,
        photometric="minisblack" if samples.shape[2] == 1 else "rgb",
        planarconfig="contig" if samples.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if photo.alpha is not None else None,
        compression="zlib",
        iccprofile=photo.icc_profile,
        metadata=None,
    )
    return buffer.getvalue()


def _encode_png_16(samples: np.ndarray, photo: Photo) -> bytes:
    """Encode 16-bit gray, RGB or either with transparency (PNG specification, 3rd edition)."""
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter 2: each byte minus the one above, which the compressor packs better.
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))]
    if photo.icc_profile:
        parts.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(photo.icc_profile)))
    if photo.exif:
        parts.append(chunk(b"eXIf", photo.exif.removeprefix(b"Exif\0\0")))
    parts += [chunk(b"IDAT", zlib.compress(filtered.tobytes())), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
