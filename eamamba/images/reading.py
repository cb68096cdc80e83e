"""Read image files of all common formats, recognised by content instead of name.

This table lists what is kept. Anything else is refused with a one-line message that names it.

======== ============================= ===================================================
Format   Depth                         Channels
======== ============================= ===================================================
PNG      1 to 8 → 8, 16                gray, RGB, palette; alpha or colour key
TIFF     1 to 8 → 8                    gray, RGB, palette, YCbCr, Lab, CMYK; alpha
TIFF     16; floating in [0, 1] → 16   gray, RGB; alpha
PGM, PPM 1 to 8 → 8, up to 16 → 16     gray, RGB; white is the file's maximum value
JPEG     8                             gray, RGB, CMYK
WebP     8                             RGB; alpha
AVIF     8                             gray, RGB; alpha
GIF, BMP 1 to 8 → 8                    gray, RGB, palette; alpha or colour key
======== ============================= ===================================================

TIFF files may be tiled, planar, big-endian, MinIsWhite or have premultiplied alpha. CMYK becomes
sRGB through the profile of the file and is refused without one; Lab becomes sRGB. Files with
several pages or frames are refused, since only one could be kept, except JPEG: there the first
picture is the photograph, and the others (MPO) are previews, gain maps or second views.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from PIL import Image
from torch import Tensor

from eamamba.config.errors import ran_out_of_memory
from eamamba.images.colours import SEVERAL_PICTURES, check_size, decode_8_bit, open_with_pillow
from eamamba.images.decoded import Decoded, to_photo
from eamamba.images.metadata import read_metadata
from eamamba.images.netpbm import decode_netpbm, netpbm_size
from eamamba.images.photo import ImageError, Photo
from eamamba.images.png import decode_png
from eamamba.images.tiff import decode_tiff

READABLE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
# The first bytes of each format. Other formats are not tried: Pillow would read some with fewer
# bits than they hold, and some by running external programs.
_BEGINNINGS = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "TIFF": rb"II[*+]\x00|MM\x00[*+]",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "AVIF": rb"....ftyp.{,60}?avi[fs]",
    "PGM or PPM": rb"P[2356][\s#]",
    "PPM": rb"P[14][\s#]",
}


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Read an image file of any common format, turned upright according to its EXIF data.

    The table in `eamamba.images.reading` lists the formats and what is kept. No global
    state is changed, so any number of threads may read; Pillow's warnings about odd metadata
    follow the filters of `warnings`.

    Raises
    ------
    ImageError
        Missing, unreadable, empty, damaged, not an image, not in the table, or more than
        179 million pixels.
    """
    path = Path(path)
    try:
        return to_photo(_decode(_content(path)))
    except (ImageError, Image.DecompressionBombError) as error:
        advice = "" if isinstance(error, ImageError) else "; cut the image into smaller files"
        raise ImageError(f"{path}: {error}{advice}") from None
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"{path}: damaged image, or a variant that Pillow cannot read; save it as PNG"
        ) from None
    except Exception as error:  # decoders of damaged files raise errors of every kind
        if ran_out_of_memory(error):
            raise MemoryError(f"{path}: not enough memory to hold the image") from None
        reason = " ".join(str(error).split())
        raise ImageError(f"{path}: damaged image ({reason}); copy or download it again") from error


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Return the colours of an image file, (3, H, W) float32 in [0, 1]; see `read_photo`."""
    return read_photo(path).rgb


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files directly inside a folder, sorted by name.

    Raises
    ------
    ImageError
        The folder is missing, cannot be read, or has no image in it.
    """
    folder = Path(folder)
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in READABLE_SUFFIXES]
        images = sorted(path for path in files if path.is_file() and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{folder}: no such folder; check the spelling of the path") from None
    except OSError as error:
        raise ImageError(
            f"{folder}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if not images:
        raise ImageError(f"{folder}: no images; expected files in {', '.join(READABLE_SUFFIXES)}")
    return images


def _content(path: Path) -> bytes:
    """Return the content of a file, so that later failures indicate damage, not the disk."""
    try:
        if path.is_dir():
            raise ImageError("a folder; expected an image file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file; check the spelling of the path") from None
    except OSError as error:
        raise ImageError(
            f"cannot be read ({error.strerror}); check its permissions and the disk"
        ) from None
    if not content:
        raise ImageError("empty file (0 bytes); copy or download it again")
    return content


def _decode(content: bytes) -> Decoded:
    """Decode a file in the format that its first bytes indicate."""
    beginnings = _BEGINNINGS.items()
    file_format = next((f for f, start in beginnings if re.match(start, content, re.DOTALL)), None)
    if file_format is None:
        raise ImageError(
            "not an image in a known format; expected PNG, JPEG, TIFF, WebP, AVIF, GIF, BMP, PGM "
            "or PPM"
        )
    if file_format == "TIFF":
        return decode_tiff(content)
    if file_format == "PGM or PPM":
        check_size(*netpbm_size(content))
        return decode_netpbm(content)
    if file_format == "AVIF":
        _check_avif_depth(content)
    with open_with_pillow(content, file_format) as image:
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1 and image.format != "MPO":
            raise ImageError(SEVERAL_PICTURES)
        image.load()
        if file_format == "PNG":
            return decode_png(content, image)
        decoded = decode_8_bit(image, read_metadata(image))
    first = (f"first of {pictures} pictures in the file",) if pictures > 1 else ()
    return dataclasses.replace(decoded, pictures=pictures, notes=(*decoded.notes, *first))


def _check_avif_depth(content: bytes) -> None:
    """Refuse AVIF files with 10 or 12 bits: Pillow would keep only 8."""
    start = content.find(b"av1C")  # AV1 Codec ISO Media File Format Binding, 2.3.3
    if start >= 0 and content[start + 6] & 0x40:
        raise ImageError("AVIF of more than 8 bits per channel; convert it to 16-bit PNG first")
