"""PGM and PPM files, with any maximum value (`netpbm.sourceforge.net/doc`)."""

from __future__ import annotations

import re

import numpy as np

from eamamba.images.colours import SEVERAL_PICTURES
from eamamba.images.decoded import Decoded
from eamamba.images.photo import ImageError

_HEADER = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n\r]*[\n\r])+(\d+)" * 3)
_COMMENT = re.compile(rb"#[^\n\r]*")


def netpbm_size(content: bytes) -> tuple[int, int]:
    """Return width and height."""
    return _header(content)[1:3]


def decode_netpbm(content: bytes) -> Decoded:
    """Return the image of a PGM or PPM file, binary or plain, at its full depth.

    Raises
    ------
    ImageError
        Invalid header, truncated file, or several images.
    """
    kind, width, height, white, start = _header(content)
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    if kind in (5, 6):
        dtype = np.dtype(">u2" if white > 255 else "u1")
        rest = content[start + 1 : start + 1 + count * dtype.itemsize]
        values = np.frombuffer(rest[: len(rest) // dtype.itemsize * dtype.itemsize], dtype)
    else:
        tokens = _COMMENT.sub(b"", content[start:]).split()
        values = np.array(tokens[:count], dtype=np.int64)
    if values.size < count:
        raise ImageError("damaged image (the file ends too early); copy or download it again")
    if count and values.max() > white:
        raise ImageError(f"damaged image (value {values.max()}, at most {white}); create it again")
    following = content[start + 1 + values.nbytes :] if kind in (5, 6) else b""
    if re.match(rb"\s*P[1-6]\s", following):
        raise ImageError(SEVERAL_PICTURES)
    samples = values.reshape(height, width, channels)
    return Decoded(samples, white, 16 if white > 255 else 8)


def _header(content: bytes) -> tuple[int, int, int, int, int]:
    """Return kind, width, height, the maximum value, and the offset at which the header ends."""
    match = _HEADER.match(content)
    kind, width, height, white = map(int, match.groups()) if match else (0, 0, 0, 0)
    if match is None or not (width and height and 0 < white < 65536):
        raise ImageError("damaged image (invalid header); copy or download it again")
    return kind, width, height, white, match.end()
