"""The contents of an image file, and the error for files that are not usable."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from eamamba.config import EAMambaError


class ImageError(EAMambaError):
    """A file that cannot be read or written as an image; the message says why and what to do."""


@dataclass(frozen=True)
class Photo:
    """A photograph, with everything that its file holds.

    Attributes
    ----------
    rgb : Tensor (3, H, W) float32 in [0, 1]
    alpha : Tensor (1, H, W) float32 in [0, 1], or None for an opaque image
    is_gray : bool
        The file has a single colour channel.
    bits : {8, 16}
        Depth of each channel in the file.
    icc_profile : bytes or None
        Colour profile that `rgb` refers to; None means sRGB by convention.
    exif : bytes or None
        EXIF block, without its orientation, which is already applied to `rgb`.
    xmp : bytes or None
        XMP packet, also without its orientation.
    dpi : (float, float) or None
        Pixels per inch, horizontally and vertically.
    png_chunks : tuple of (name, content)
        The chunks of a PNG file that define its colours instead of a profile: gAMA, cHRM, sRGB,
        cICP.
    pictures : int
        How many images the file holds; `rgb` is the first.
    notes : tuple of str
        Conversions made on reading, such as ``converted from CMYK to sRGB``.
    """

    rgb: Tensor
    alpha: Tensor | None = None
    is_gray: bool = False
    bits: int = 8
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    pictures: int = 1
    notes: tuple[str, ...] = ()
