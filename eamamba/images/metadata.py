"""Metadata of image files: EXIF, XMP, colour profile, pixels per inch."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

# In a TIFF file, EXIF data are mixed with tags for the pixel layout; these describe the photograph.
DESCRIPTIVE_TAGS = frozenset(
    {
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.Base.Rating,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
    }
)
_XMP_ORIENTATION = re.compile(
    rb"""\s*tiff:Orientation\s*=\s*["'](\d)["']|<tiff:Orientation>\s*(\d)\s*</tiff:Orientation>"""
)
# Colour spaces of ICC profiles (bytes 16 to 20) that do not fit RGB images (False) or gray (True).
_MISFITS = {False: (b"GRAY", b"CMYK", b"Lab "), True: (b"CMYK", b"Lab ")}


@dataclass(frozen=True)
class Metadata:
    """The metadata of an image file; `Photo` documents each field."""

    orientation: int = 1
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def read_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of an image opened by Pillow."""
    exif, orientation = upright_exif(image.info.get("exif"))
    if orientation == 1:  # it may be outside the EXIF block, for instance in XMP
        orientation = _orientation(image)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    dpi = image.info.get("dpi")
    return Metadata(
        orientation,
        image.info.get("icc_profile") or None,
        exif,
        upright_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
        usable_dpi(*dpi) if dpi else None,
    )


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata: the pixels are still good
        return 1


def upright_exif(block: bytes | None) -> tuple[bytes | None, int]:
    """Return an EXIF block with its orientation set to upright, and the previous orientation.

    Everything else stays in place because maker notes refer to offsets in the block. Only the
    thumbnail, which shows the unrestored image, is unlinked.
    """
    whole = bytearray(re.sub(rb"^(Exif\0\0)+", b"", block or b""))
    try:
        order = _byte_order(whole)
        entries = list(_entries(whole))
        orientation = 1
        for tag, offset in entries:
            if tag == ExifTags.Base.Orientation:
                (orientation,) = struct.unpack_from(order + "H", whole, offset + 8)
                struct.pack_into(order + "H", whole, offset + 8, 1)
        struct.pack_into(order + "I", whole, entries[-1][1] + 12, 0)
    except (struct.error, IndexError):  # damaged metadata: the pixels are still good
        return None, 1
    has_more = any(tag != ExifTags.Base.Orientation for tag, _ in entries)
    return (b"Exif\0\0" + bytes(whole) if has_more else None), orientation


def point_to(file: bytearray, tag: int, offset: int) -> None:
    """Make a tag in the first directory of a TIFF file point to an offset."""
    for found, entry in _entries(file):
        if found == tag:
            struct.pack_into(_byte_order(file) + "I", file, entry + 8, offset)


def _byte_order(file: bytearray) -> str:
    return ">" if file[:2] == b"MM" else "<"


def _entries(file: bytearray) -> Iterator[tuple[int, int]]:
    """Yield each tag in the first directory of a TIFF file and the offset of its entry."""
    order = _byte_order(file)
    (start,) = struct.unpack_from(order + "I", file, 4)
    (count,) = struct.unpack_from(order + "H", file, start)
    for offset in range(start + 2, start + 2 + 12 * count, 12):
        yield struct.unpack_from(order + "H", file, offset)[0], offset


def read_tiff_exif(content: bytes) -> bytes | None:
    """Return the EXIF block of a TIFF file, without pixel layout and orientation."""
    try:
        exif = Image.Exif()
        exif.load(content)
        photo = Image.Exif()
        for tag in DESCRIPTIVE_TAGS & exif.keys():
            # descriptions by tifffile and ImageJ are about the pixel layout of this file
            if not str(exif[tag]).startswith(('{"shape"', "ImageJ=")):
                text = exif[tag]
                # Pillow writes text as ASCII but bytes unchanged
                photo[tag] = text.encode("latin-1") if isinstance(text, str) else text
        for pointer, directory in exif_directories(exif).items():
            photo[pointer] = directory
        return photo.tobytes() if photo else None
    except Exception:  # damaged metadata: the pixels are still good
        return None


def exif_directories(exif: Image.Exif) -> dict[int, dict[int, Any]]:
    """Return the directories that the tags of an EXIF block point to, including nested ones."""
    found = {}
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        directory = dict(exif.get_ifd(tag)) if tag in exif else {}
        if ExifTags.IFD.Interop in directory:
            directory[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
        if directory:
            found[int(tag)] = directory
    return found


def upright_xmp(packet: bytes | None) -> bytes | None:
    """Return an XMP packet without its orientation, so that it is not applied twice."""
    return _XMP_ORIENTATION.sub(b"", packet) if packet else None


def xmp_orientation(packet: bytes | None) -> int:
    """Return the orientation that an XMP packet gives; 1 if it gives none."""
    found = _XMP_ORIENTATION.search(packet or b"")
    return int(found[1] or found[2]) if found else 1


def usable_dpi(x: float, y: float) -> tuple[float, float] | None:
    """Return pixels per inch, or None if the values are meaningless."""
    x, y = float(x), float(y)
    return (x, y) if 1 <= x < 1e6 and 1 <= y < 1e6 else None


def fitting_profile(profile: bytes | None, is_gray: bool) -> bytes | None:
    """Return the profile, or None if it is for images with other channels."""
    return None if profile and profile[16:20] in _MISFITS[is_gray] else profile or None
