"""What Pillow does not handle in PNG files: 16-bit colours, exact colour keys, colour chunks.

Chunks and colour types are those of the PNG specification, 3rd edition.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from eamamba.images.decoded import Decoded
from eamamba.images.metadata import read_metadata
from eamamba.images.photo import ImageError, Photo

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _GRAY_ALPHA = 0, 2, 4
_COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
# gAMA and cHRM of sRGB, in units of 1/100000; programs round them differently.
_SRGB_GAMMA = (45455,)
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_CODE_POINTS = b"\x01\x0d"  # primaries and transfer function in cICP (ITU-T H.273)
_METRES_PER_INCH = 0.0254


def decode_png(content: bytes, image: Image.Image) -> Decoded:
    """Return the image of a PNG file that Pillow has decoded.

    Raises
    ------
    ImageError
        16 bits per channel, and OpenCV is not installed.
    """
    chunks = list(_chunks(content))
    header, named = chunks[0][1], dict(chunks)
    bits, colour_type = header[8], header[9]
    if bits == 16:
        samples = _decode_16_bit(chunks, colour_type)
    else:
        mode = {_GRAY: "L", _GRAY_ALPHA: "LA", _RGB: "RGB"}.get(colour_type)
        samples = np.asarray(
            image.convert(mode or ("RGBA" if image.has_transparency_data else "RGB"))
        )
    samples = samples.reshape(*samples.shape[:2], -1)
    white = 65535 if bits == 16 else 255
    if b"tRNS" in named and colour_type in (_GRAY, _RGB):
        # the key is in file units, but Pillow compares it with scaled 2- and 4-bit gray
        key = np.frombuffer(named[b"tRNS"], ">u2") * (white // (2**bits - 1))
        alpha = (samples != key).any(-1, keepdims=True) * white
        samples = np.concatenate([samples, alpha.astype(samples.dtype)], -1)
    meaning = tuple((name, named[name]) for name in _COLOUR_CHUNKS if name in named)
    return Decoded(
        samples, white, 16 if bits == 16 else 8, read_metadata(image), png_chunks=meaning
    )


def encode_png_16_bit(samples: np.ndarray) -> bytes:
    """Encode (H, W, 1 to 4) uint16: gray or RGB, then transparency if there is any."""
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter 2: each byte minus the one above, which compresses better.
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    packed = zlib.compress(filtered.tobytes())
    return _file([(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")])


def with_metadata(content: bytes, photo: Photo, icc_profile: bytes | None) -> bytes:
    """Return a PNG file with the metadata of the photograph."""
    header, *rest = _chunks(content)
    about = list(photo.png_chunks)
    if icc_profile:
        about.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)))
    if photo.dpi:
        per_metre = [round(dpi / _METRES_PER_INCH) for dpi in photo.dpi]
        about.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if photo.exif:
        about.append((b"eXIf", photo.exif.removeprefix(b"Exif\0\0")))
    if photo.xmp:
        about.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photo.xmp))
    return _file([header, *about, *rest])


def is_srgb(photo: Photo) -> bool:
    """Return whether the colours remain correct without the chunks that describe them."""
    chunks = dict(photo.png_chunks)
    if b"cICP" in chunks:
        return chunks[b"cICP"].startswith(_SRGB_CODE_POINTS)
    if photo.icc_profile or b"sRGB" in chunks:
        return True  # both take precedence over gAMA and cHRM
    return _is_near(chunks.get(b"gAMA"), _SRGB_GAMMA) and _is_near(
        chunks.get(b"cHRM"), _SRGB_CHROMATICITIES
    )


def _is_near(chunk: bytes | None, usual: tuple[int, ...]) -> bool:
    if chunk is None:
        return True
    given = struct.unpack(f">{len(chunk) // 4}I", chunk)
    return len(given) == len(usual) and all(
        abs(one - other) <= 500 for one, other in zip(given, usual, strict=True)
    )


def _decode_16_bit(chunks: list[tuple[bytes, bytes]], colour_type: int) -> np.ndarray:
    """Return (H, W, 1 to 4) uint16; Pillow would keep only the upper 8 bits of colour images."""
    try:
        import cv2
    except ImportError:
        raise ImageError(
            "16-bit PNG files need OpenCV; pip install opencv-python-headless"
        ) from None
    # the other chunks are left out so that OpenCV applies nothing to the samples
    bare = _file([chunk for chunk in chunks if chunk[0] in (b"IHDR", b"IDAT", b"IEND")])
    samples = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ImageError("damaged image (OpenCV cannot decode it); copy or download it again")
    if colour_type == _GRAY_ALPHA:  # OpenCV converts these to BGRA
        return samples[..., [0, 3]]
    return samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk of a PNG file."""
    offset = len(_SIGNATURE)
    while offset + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, offset)
        yield name, content[offset + 8 : offset + 8 + size]
        offset += size + 12


def _file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
