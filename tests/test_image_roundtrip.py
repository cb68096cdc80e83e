"""A law of image files: what is read, written and read again is the same, or is refused.

Hypothesis draws the file (format, depth, channels, transparency, orientation, profile, pixels per
inch) and the format that it is written to.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from image_files import SRGB_PROFILE, gray_profile, png, png_chunk, saved, tiff
from PIL import Image, ImageOps

from eamamba.images import WRITABLE_SUFFIXES, ImageError, Photo, read_photo, write_photo

PROFILES = {"none": None, "srgb": SRGB_PROFILE, "gray": gray_profile(2.2)}
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
LOSSY = (".jpg", ".jpeg", ".jfif")
repeatable = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


def drawn_samples(draw: st.DrawFn, channels: int, bits: int) -> np.ndarray:
    height, width = draw(SIZES)
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    samples = generator.integers(0, 2**bits, (height, width, channels), dtype=f"u{bits // 8}")
    if channels in (2, 4) and draw(st.booleans()):
        samples[..., -1] = 2**bits - 1
    return samples


@st.composite
def png_files(draw: st.DrawFn) -> bytes:
    channels, bits = draw(st.integers(1, 4)), draw(st.sampled_from([8, 16]))
    samples = drawn_samples(draw, channels, bits)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = draw(st.integers(1, 8)), "maker"
    rows = [row.tobytes() for row in samples.astype(f">u{bits // 8}")]
    chunks = [png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]
    gamma = draw(st.sampled_from([None, 45455, 100000]))
    if gamma:
        chunks.append(png_chunk(b"gAMA", gamma.to_bytes(4, "big")))
    if channels in (1, 3) and draw(st.booleans()):
        chunks.append(png_chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes()))
    return png(rows, samples.shape[1], bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], *chunks)


@st.composite
def tiff_files(draw: st.DrawFn) -> bytes:
    channels, bits = draw(st.integers(1, 4)), draw(st.sampled_from([8, 16]))
    samples = drawn_samples(draw, channels, bits)
    extra = draw(st.sampled_from(["unassalpha", "assocalpha", "unspecified"]))
    planar = channels > 1 and draw(st.booleans())
    white_is_zero = channels < 3 and draw(st.booleans())
    gray = "miniswhite" if white_is_zero else "minisblack"
    options: dict[str, Any] = {
        "photometric": gray if channels < 3 else "rgb",
        "planarconfig": ("separate" if planar else "contig") if channels > 1 else None,
        "extrasamples": [extra] if channels in (2, 4) else None,
        "compression": draw(st.sampled_from([None, "zlib"])),
        "byteorder": draw(st.sampled_from("<>")),
        "tile": draw(st.sampled_from([None, (16, 16)])),
        "iccprofile": PROFILES[draw(st.sampled_from(sorted(PROFILES)))],
        "extratags": [(274, "H", 1, draw(st.integers(1, 8)), True)],
        "resolution": (300, 150),
    }
    stored = samples[..., 0] if channels == 1 else samples
    return tiff(stored.transpose(2, 0, 1).copy() if planar else stored, **options)


@st.composite
def other_files(draw: st.DrawFn) -> bytes:
    mode = draw(st.sampled_from(["1", "L", "P", "RGB", "RGBA"]))
    kind = draw(st.sampled_from(["BMP", "GIF", "WEBP", "JPEG", "PPM"]))
    image = Image.fromarray(drawn_samples(draw, 4, 8)).convert(mode)
    if kind in ("JPEG", "PPM") and mode in ("P", "RGBA"):
        image = image.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(1, 8))
    profile = PROFILES[draw(st.sampled_from(sorted(PROFILES)))]
    about = {"exif": exif, "icc_profile": profile} if kind in ("WEBP", "JPEG") else {}
    return saved(image, kind, **about)


FILES = st.one_of(png_files(), tiff_files(), other_files())


def read(folder: Path, content: bytes) -> Photo | str:
    """Return the photo, or the line with which its file is refused."""
    (folder / "source").write_bytes(content)
    try:
        return read_photo(folder / "source")
    except ImageError as error:
        return str(error)


def refusal(path: Path, photo: Photo) -> str:
    """Write a photo; return the line with which it is refused, empty if it is not."""
    try:
        write_photo(path, photo)
    except ImageError as error:
        return str(error)
    return ""


def check_equal(photo: Photo, again: Photo, suffix: str) -> None:
    """Hold what the format of ``suffix`` can keep against what came back."""
    assert again.rgb.shape == photo.rgb.shape
    bits = photo.bits if suffix in (".png", ".tif", ".tiff") else 8
    tolerance = (0.5 if bits < photo.bits else 0.01) / (2**bits - 1)
    converted = suffix == ".webp" and (photo.icc_profile or b"")[16:20] == b"GRAY"
    if suffix not in LOSSY and not converted:
        assert (again.rgb - photo.rgb).abs().max() <= tolerance
    if photo.alpha is None or suffix in (*LOSSY, ".bmp"):
        assert again.alpha is None
    elif suffix != ".webp" or again.alpha is not None:  # WebP leaves out what is opaque
        assert again.alpha is not None
        assert (again.alpha - photo.alpha).abs().max() <= tolerance
    else:
        assert (photo.alpha * 255).round().min() == 255
    if suffix in (".png", ".tif", ".tiff"):
        assert (again.bits, again.is_gray) == (photo.bits, photo.is_gray)
    if suffix not in (".bmp",) and not converted:
        assert again.icc_profile == photo.icc_profile
        assert again.xmp == photo.xmp
        assert (again.exif is None) is (photo.exif is None)
    if suffix == ".png":
        assert again.png_chunks == photo.png_chunks


@repeatable
@given(content=FILES, suffix=st.sampled_from(WRITABLE_SUFFIXES))
def test_read_write_read_is_the_same_or_refused(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = read(folder, content)
        target = folder / f"target{suffix}"
        if isinstance(photo, str):
            event("refused when read")
            assert "channels" in photo  # an extra one of unknown meaning
        elif reason := refusal(target, photo):
            event("refused when written")
            assert reason.endswith("use .png")
            assert not target.exists()
        else:
            event(f"written to {suffix}")
            check_equal(photo, read_photo(target), suffix)


@repeatable
@given(content=st.one_of(png_files(), other_files()))
def test_files_of_8_bits_show_what_pillow_shows(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        photo = read(Path(name), content)
    assert isinstance(photo, Photo)
    if photo.bits > 8:
        return
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    shown = torch.from_numpy(expected[..., :3] / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(photo.rgb, shown)
    alpha = torch.ones(1, *shown.shape[1:]) if photo.alpha is None else photo.alpha
    assert torch.equal(alpha[0], torch.from_numpy(expected[..., 3] / np.float32(255)))


@repeatable
@given(content=FILES, place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_an_image_or_one_line(content: bytes, place: int, byte: int, cut: bool) -> None:
    damaged = bytearray(content)
    damaged[place % len(content)] = byte
    with tempfile.TemporaryDirectory() as name:
        photo = read(Path(name), bytes(damaged[: place % len(content)] if cut else damaged))
    if isinstance(photo, str):
        assert "\n" not in photo
        assert "object at 0x" not in photo
    else:
        assert photo.rgb.shape[0] == 3
        assert 0 <= photo.rgb.min() <= photo.rgb.max() <= 1
