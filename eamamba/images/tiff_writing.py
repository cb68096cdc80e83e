"""Writing TIFF files: tifffile writes the pixels, and EXIF directories are appended."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from eamamba.images.metadata import DESCRIPTIVE_TAGS, exif_directories, point_to
from eamamba.images.photo import Photo

_XMP_TAG = 700
# Given by name, since tifffile ignores these tags if given by number.
_DIRECTORY_TAGS = {34665: "ExifTag", 34853: "GPSTag"}
_BYTES, _TEXT, _SHORT, _OFFSET = "B", "s", "H", "I"


def encode_tiff(samples: np.ndarray, photo: Photo, icc_profile: bytes | None) -> bytes:
    """Return a TIFF file, compressed without loss.

    Parameters
    ----------
    samples : array (H, W, 1 to 4), uint8 or uint16
        Gray or RGB, then transparency if any.
    photo : Photo
        Supplies EXIF data, XMP and pixels per inch.
    icc_profile : bytes or None
    """
    import tifffile

    exif = Image.Exif()
    exif.load(photo.exif or b"")
    directories = exif_directories(exif)
    tags: list[tuple[int | str, Any, int, Any, bool]] = _descriptive_tags(exif)
    if photo.xmp:
        tags.append((_XMP_TAG, _BYTES, len(photo.xmp), photo.xmp, True))
    tags += [(_DIRECTORY_TAGS[tag], _OFFSET, 1, 0, True) for tag in directories]
    channels = samples.shape[2]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples[..., 0] if channels == 1 else samples,
        byteorder="<",
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        iccprofile=icc_profile,
        resolution=photo.dpi,
        resolutionunit="INCH" if photo.dpi else None,
        software=False,
        metadata=None,
        extratags=tags,
    )
    file = bytearray(buffer.getvalue())
    for tag, directory in directories.items():
        file += bytes(len(file) % 2)  # directories begin at even offsets
        point_to(file, tag, len(file))
        file += _directory_bytes(tag, directory, len(file))
    return bytes(file)


def _descriptive_tags(exif: Image.Exif) -> list[tuple[int | str, Any, int, Any, bool]]:
    tags: list[tuple[int | str, Any, int, Any, bool]] = []
    for tag in sorted(DESCRIPTIVE_TAGS & exif.keys()):
        value = exif[tag]
        if isinstance(value, str):
            text = value.encode("latin-1", "replace") + b"\0"
            tags.append((tag, _TEXT, len(text), text, True))
        elif isinstance(value, bytes):
            tags.append((tag, _BYTES, len(value), value, True))
        elif isinstance(value, int):
            tags.append((tag, _SHORT, 1, value, True))
    return tags


def _directory_bytes(tag: int, content: dict[int, Any], start: int) -> bytes:
    """Return a directory that will be at offset ``start`` of the file."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(group=tag)
    for name, value in content.items():
        directory[name] = value
    return directory.tobytes(start)
