"""TIFF files: every layout is either read correctly or refused by name."""

from __future__ import annotations

import dataclasses
import io
import logging
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from eamamba.images.colours import SEVERAL_PICTURES, check_size, decode_8_bit, open_with_pillow
from eamamba.images.decoded import Decoded
from eamamba.images.metadata import (
    Metadata,
    read_tiff_exif,
    upright_xmp,
    usable_dpi,
    xmp_orientation,
)
from eamamba.images.photo import ImageError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

# Values of tags, from TIFF 6.0 and its supplements.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOUR_CHANNELS = {
    **{_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _PALETTE: 1},
    **{_RGB: 3, _SEPARATED: 4, _YCBCR: 3, _LAB: 3},
}
_INK_SET_TAG, _CMYK = 332, 1
_UNSIGNED, _FLOATING = 1, 3
_PREMULTIPLIED, _ALPHA = 1, 2
_PLANES = 2
_INCH, _CENTIMETRE = 2, 3
_LZW, _FLOATING_PREDICTOR = 5, 3
_ORIENTATION_TAG, _XMP_TAG, _PROFILE_TAG = 274, 700, 34675

# tifffile logs remarks on odd tags; without a handler they would go to the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def decode_tiff(content: bytes) -> Decoded:
    """Return the image of a TIFF file.

    Raises
    ------
    ImageError
        Several pages, or a layout that is not in the table of `eamamba.images.reading`.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = _only_page(file)
        check_size(page.imagewidth, page.imagelength)
        bits, extra = _check_layout(page)
        _check_complete(page, len(content))
        about = _read_metadata(page, content)
        plain = bits >= 8 and page.photometric <= _RGB
        samples = _tifffile_samples(page) if plain else None
        if samples is None and bits <= 8:
            return _decode_with_pillow(page, content, about)
        if samples is None:
            samples = _decode_with_opencv(page, content, extra)
    is_float = samples.dtype.kind == "f"
    if is_float:
        _check_range(samples)
    white = 1.0 if is_float else 2.0**bits - 1
    notes: tuple[str, ...] = ("floating-point samples kept with 16 bits",) if is_float else ()
    if file.is_bigtiff:  # Pillow cannot read its EXIF data
        notes += ("BigTIFF without its EXIF data",)
    samples = _normalised(samples, white, extra, page.photometric == _WHITE_IS_ZERO)
    return Decoded(samples, white, min(bits, 16), about, notes=notes)


def _only_page(file: TiffFile) -> TiffPage:
    every: list[Any] = list(file.pages)
    pages = [page for page in every if not page.is_reduced]
    if not every:
        raise ImageError("damaged image (no page in it); copy or download it again")
    if not pages:
        raise ImageError("no full-size image in it (a raw photograph?); export it as TIFF or PNG")
    # some programs describe a stack of images by its first page alone
    stacked = (file.is_imagej or file.is_shaped) and file.series[0].size > pages[0].size
    if len(pages) > 1 or stacked or pages[0].imagedepth > 1:
        raise ImageError(SEVERAL_PICTURES)
    return pages[0]


def _check_layout(page: TiffPage) -> tuple[int, int]:
    """Return bits per sample, and the kind of the extra channel (0 for none)."""
    depths = {int(bits) for bits in np.atleast_1d(_tag(page, 258, 1))}
    kinds = {int(kind) for kind in np.atleast_1d(_tag(page, 339, _UNSIGNED))}
    if len(depths) > 1 or len(kinds) > 1:
        raise ImageError(f"channels of unequal depth ({sorted(depths)}); save it with 8 or 16 bits")
    (bits,), (kind,) = depths, kinds
    known = bits in range(1, 9) or bits == 16
    if not (known if kind == _UNSIGNED else kind == _FLOATING and bits in (16, 32, 64)):
        name = {_UNSIGNED: "unsigned", 2: "signed", _FLOATING: "floating-point", 4: "untyped"}.get(
            kind, "complex"
        )
        raise ImageError(
            f"{bits}-bit {name} samples; expected unsigned with 1 to 8 or 16 bits, or "
            "floating-point from 0 to 1; convert it first"
        )
    colour = int(page.photometric)
    deep = bits > 8 or kind == _FLOATING
    if colour not in _COLOUR_CHANNELS or (deep and colour > _RGB):
        name = getattr(page.photometric, "name", str(colour))
        raise ImageError(f"{bits}-bit TIFF in {name} colours; convert it to RGB first")
    if colour == _SEPARATED and _tag(page, _INK_SET_TAG, _CMYK) != _CMYK:
        raise ImageError("TIFF with inks other than CMYK; convert it to RGB first")
    channels = _COLOUR_CHANNELS[colour]
    spare = page.samplesperpixel - channels
    # some programs do not state what a fourth channel is; it is transparency
    meaning = tuple(int(extra) for extra in page.extrasamples) or (_ALPHA,) * spare
    if spare not in (0, 1) or (spare and (meaning[0] not in (1, 2) or colour > _RGB)):
        raise ImageError(
            f"{page.samplesperpixel} channels, expected {channels} and optionally one for "
            "transparency; remove the others first"
        )
    return bits, meaning[0] if spare else 0


def _check_complete(page: TiffPage, size: int) -> None:
    """Refuse truncated files, because decoders would fill in the missing parts."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if not segments or any(count < 1 or start + count > size for start, count in segments):
        raise ImageError("damaged image (parts of it are missing); copy or download it again")


def _read_metadata(page: TiffPage, content: bytes) -> Metadata:
    packet = _tag(page, _XMP_TAG, None)
    xmp = packet.encode() if isinstance(packet, str) else packet
    unit = _tag(page, 296, _INCH)
    dpi = None
    if unit in (_INCH, _CENTIMETRE):
        per_inch = 2.54 if unit == _CENTIMETRE else 1
        x, y = (_tag(page, tag, (0, 1)) for tag in (282, 283))
        dpi = usable_dpi(*(per_inch * part[0] / (part[1] or 1) for part in (x, y)))
    return Metadata(
        _tag(page, _ORIENTATION_TAG, xmp_orientation(xmp)),
        _tag(page, _PROFILE_TAG, None),
        read_tiff_exif(content),
        upright_xmp(xmp),
        dpi,
    )


def _tifffile_samples(page: TiffPage) -> np.ndarray | None:
    """Return (H, W, channels) as stored in the file, or None if a codec is missing."""
    try:
        samples = page.asarray(maxworkers=1)
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
        return None
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    if page.planarconfig == _PLANES and page.samplesperpixel > 1:
        return samples.reshape(shape[2], *shape[:2]).transpose(1, 2, 0)
    return samples.reshape(shape)


def _decode_with_pillow(page: TiffPage, content: bytes, about: Metadata) -> Decoded:
    image = open_with_pillow(content, "TIFF")
    image.seek(page.index)
    image.load()  # also turns a TIFF image upright
    return decode_8_bit(image, dataclasses.replace(about, orientation=1))


def _decode_with_opencv(page: TiffPage, content: bytes, extra: int) -> np.ndarray:
    """Decode LZW, the most common compression for which tifffile needs imagecodecs."""
    simple = page.photometric in (_BLACK_IS_ZERO, _RGB) and page.dtype == np.uint16
    chunky = page.planarconfig != _PLANES or page.samplesperpixel == 1
    plain_alpha = not extra or (extra == _ALPHA and page.photometric == _RGB)
    samples = None
    if page.compression == _LZW and page.index == 0 and simple and chunky and plain_alpha:
        samples = _opencv_samples(page, content)
    if samples is None:
        predictor = " and predictor 3" if page.predictor == _FLOATING_PREDICTOR else ""
        name = getattr(page.compression, "name", page.compression)
        raise ImageError(
            f"TIFF of this layout with compression {name}{predictor} cannot be read; save it "
            "uncompressed or with Deflate, or pip install imagecodecs"
        )
    return samples


def _opencv_samples(page: TiffPage, content: bytes) -> np.ndarray | None:
    try:
        import cv2
    except ImportError:
        return None
    upright = bytearray(content)
    if _ORIENTATION_TAG in page.tags:  # OpenCV would turn some of these images
        offset = page.tags[_ORIENTATION_TAG].valueoffset
        struct.pack_into(f"{page.parent.byteorder}H", upright, offset, 1)
    samples = cv2.imdecode(np.frombuffer(upright, np.uint8), cv2.IMREAD_UNCHANGED)
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    if samples is None or samples.dtype != np.uint16 or samples.size != np.prod(shape):
        return None
    samples = samples.reshape(shape)
    return samples if shape[2] == 1 else samples[..., [2, 1, 0, 3][: shape[2]]]


def _check_range(samples: np.ndarray) -> None:
    low, high = samples.min(), samples.max()
    if not (0 <= low and high <= 1):  # NaN is neither
        raise ImageError(
            f"floating-point samples with values from {low:g} to {high:g}; expected 0 to 1; "
            "scale the image to that range first"
        )


def _normalised(samples: np.ndarray, white: float, extra: int, white_is_zero: bool) -> np.ndarray:
    """Return samples with black at zero and colours not premultiplied by alpha."""
    colours, alpha = (samples[..., :-1], samples[..., -1:]) if extra else (samples, None)
    if white_is_zero:
        colours = (white - colours).astype(samples.dtype)
    if alpha is None:
        return colours
    if extra == _PREMULTIPLIED:
        apart = np.divide(colours, alpha, out=np.zeros(colours.shape), where=alpha > 0)
        colours = apart.clip(0, 1) * white
        if samples.dtype.kind == "u":
            colours = colours.round().astype(samples.dtype)
    return np.concatenate([colours, alpha], -1)


def _tag(page: TiffPage, number: int, default: Any) -> Any:
    return page.tags[number].value if number in page.tags else default
