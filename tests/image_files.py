"""Image files made by hand or by other programs, which tests of reading start from."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def random_samples(*shape: int, bits: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, 2**bits, shape, dtype=np.uint16 if bits > 8 else np.uint8
    )


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def tiff(samples: np.ndarray, photometric: str = "rgb", **options: Any) -> bytes:
    """Return the file that tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric=photometric, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows: list[bytes], width: int, bits: int, colour_type: int, *chunks: bytes) -> bytes:
    """Return an unfiltered PNG file; ``chunks`` stand before its pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *chunks,
            png_chunk(b"IDAT", packed),
            png_chunk(b"IEND", b""),
        ]
    )


def gray_profile(gamma: float) -> bytes:
    """Return an ICC profile (version 2) of gray with a power curve."""
    curve = b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """Return an ICC profile (version 2) in which cyan is white and all other inks are black."""
    table = np.zeros((2, 2, 2, 2, 3), ">u2")
    table[..., 1:] = 0x8000
    table[1, 0, 0, 0, 0] = 0xFF00  # L* = 100
    straight = np.array([0, 65535], ">u2").tobytes()
    identity = np.eye(3, dtype=">i4") * 65536
    lut = b"mft2" + struct.pack(">4x4B", 4, 3, 2, 0) + identity.astype(">i4").tobytes()
    lut += struct.pack(">2H", 2, 2) + 4 * straight + table.tobytes() + 3 * straight
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _profile(device: bytes, colours: bytes, space: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    name = b"desc" + struct.pack(">4xI", 5) + b"test\0" + bytes(8 + 3 + 67)
    parts = {b"desc": name, b"wtpt": b"XYZ " + bytes(4) + white, **tags}
    table, body = struct.pack(">I", len(parts)), b""
    start = 128 + 4 + 12 * len(parts)
    for signature, part in parts.items():
        table += signature + struct.pack(">II", start + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    kinds = b"lcms", 0x02100000, device, colours, space
    header = struct.pack(">I4sI4s4s4s", start + len(body), *kinds)
    header += struct.pack(">6H4s28x", 2026, 1, 1, 0, 0, 0, b"acsp") + white
    return header.ljust(128, b"\0") + table + body


def camera_exif(orientation: int = 1) -> bytes:
    """Return the EXIF block of a camera: tags, and directories for exposure, interop and GPS."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "maker", "model", orientation
    exif[0x8298] = "© someone"
    exif[0x8769] = {
        0x829A: (1, 250),
        0x9003: "2026:01:02 03:04:05",
        0x927C: b"maker's note" * 9,
        0xA005: {1: "R98"},
    }
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5)}
    # Pillow writes ASCII only
    return exif.tobytes().replace(b"? someone", b"\xa9 someone")
