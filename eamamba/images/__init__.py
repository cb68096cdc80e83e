"""Read and write photographs without losing what else their files hold.

Colours are float32 RGB, (3, H, W), in [0, 1]; the transfer curve of the file (usually sRGB) is left
unchanged. Gray pictures become three equal channels and are written as gray again; 16-bit depth,
transparency, colour profile, EXIF data, XMP and pixels per inch are kept where the format can hold
them. `eamamba.images.reading` has the table of supported formats.
"""

from __future__ import annotations

from eamamba.images.photo import ImageError, Photo
from eamamba.images.reading import READABLE_SUFFIXES, list_images, read_image, read_photo
from eamamba.images.writing import (
    WRITABLE_SUFFIXES,
    check_place,
    check_target,
    write_image,
    write_photo,
)

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageError",
    "Photo",
    "check_place",
    "check_target",
    "list_images",
    "read_image",
    "read_photo",
    "write_image",
    "write_photo",
]
