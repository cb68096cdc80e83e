"""Files of every depth and layout: the right numbers, or one line that names the layout."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from image_files import random_samples, saved, tiff
from PIL import Image, ImageOps

from eamamba.images import ImageError, Photo, read_photo

RGB = random_samples(24, 37, 3, bits=16)
RGBA = random_samples(24, 37, 4, bits=16)
GRAY = RGB[..., :1]
FLOAT = (RGB / 65535).astype(np.float32)


def read(tmp_path: Path, content: bytes) -> Photo:
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_photo(path)


def refusal(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(tmp_path, content)
    reason = str(caught.value)
    assert reason.startswith(f"{tmp_path / 'photo'}: ")
    assert "\n" not in reason
    return reason


def opencv_tiff(samples: np.ndarray, compression: int) -> bytes:
    import cv2

    order = [2, 1, 0, 3][: samples.shape[2]]
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    _, content = cv2.imencode(".tif", samples[..., order], options)
    return content.tobytes()


PLANES = RGB.transpose(2, 0, 1).copy()
PREMULTIPLIED = np.concatenate(
    [np.round(RGBA[..., :3] * (RGBA[..., 3:] / 65535)).astype(np.uint16), RGBA[..., 3:]], -1
)
DEEP_TIFFS: dict[str, tuple[bytes, np.ndarray]] = {
    "chunky": (tiff(RGB), RGB),
    "planar": (tiff(PLANES, planarconfig="separate"), RGB),
    "planar deflate": (tiff(PLANES, planarconfig="separate", compression="zlib"), RGB),
    "tiled": (tiff(RGB, tile=(16, 16)), RGB),
    "tiled planar": (tiff(PLANES, planarconfig="separate", tile=(16, 16)), RGB),
    "big-endian": (tiff(RGB, byteorder=">"), RGB),
    "big-endian deflate": (tiff(RGB, byteorder=">", compression="zlib", predictor=2), RGB),
    "deflate": (tiff(RGB, compression="zlib", predictor=2, rowsperstrip=5), RGB),
    "bigtiff": (tiff(RGB, bigtiff=True), RGB),
    "lzma": (tiff(RGB, compression="lzma"), RGB),
    "lzw": (opencv_tiff(RGB, 5), RGB),
    "lzw alpha": (opencv_tiff(RGBA, 5), RGBA),
    "lzw gray": (saved(Image.fromarray(GRAY[..., 0]), "TIFF", compression="tiff_lzw"), GRAY),
    "gray": (tiff(GRAY[..., 0], "minisblack"), GRAY),
    "white is zero": (tiff(GRAY[..., 0], "miniswhite"), 65535 - GRAY),
    "gray alpha": (
        tiff(RGBA[..., :2], "minisblack", planarconfig="contig", extrasamples=["unassalpha"]),
        RGBA[..., :2],
    ),
    "alpha": (tiff(RGBA), RGBA),
    "white is zero, alpha": (
        tiff(RGBA[..., :2], "miniswhite", planarconfig="contig", extrasamples=["unassalpha"]),
        np.stack([65535 - RGBA[..., 0], RGBA[..., 1]], -1),
    ),
    "float": (tiff(FLOAT), RGB),
    "float, predictor none, big-endian": (tiff(FLOAT, byteorder=">"), RGB),
    "double": (tiff(RGB / 65535), RGB),
    "float gray, white is zero": (tiff(FLOAT[..., 0], "miniswhite"), 65535 - GRAY),
}


@pytest.mark.parametrize("name", DEEP_TIFFS)
def test_deep_tiff_files_are_read_exactly(tmp_path: Path, name: str) -> None:
    content, expected = DEEP_TIFFS[name]
    photo = read(tmp_path, content)
    channels = expected.shape[2]
    assert photo.bits == 16
    assert photo.is_gray is (channels < 3)
    colours = expected[..., : channels - 1 if channels in (2, 4) else channels]
    expected_rgb = colours.repeat(3, -1) if channels < 3 else colours
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0) * 65535, expected_rgb, atol=0.01)
    assert (photo.alpha is not None) is (channels in (2, 4))
    if photo.alpha is not None:
        np.testing.assert_allclose(photo.alpha[0] * 65535, expected[..., -1], atol=0.01)
    assert bool(photo.notes) is name.startswith(("float", "double", "bigtiff"))


@pytest.mark.parametrize("bits", [8, 16])
def test_premultiplied_alpha_is_divided_out(tmp_path: Path, bits: int) -> None:
    white = 2**bits - 1
    alpha = np.linspace(0, white, 37).round().astype(np.uint32)[None, :, None].repeat(24, 0)
    colours = RGB.astype(np.uint32) * white // 65535
    stored = np.concatenate([(colours * alpha + white // 2) // white, alpha], -1)
    content = tiff(stored.astype(f"u{bits // 8}"), extrasamples=["assocalpha"])
    photo = read(tmp_path, content)
    assert photo.alpha is not None
    np.testing.assert_allclose(photo.alpha[0] * white, alpha[..., 0], atol=0.01)
    error = np.abs(photo.rgb.permute(1, 2, 0).numpy() * white - colours)
    # the file rounds the product, so that the error grows as the transparency does
    assert (error <= 1 + 0.6 * white / np.maximum(alpha, 1))[:, 1:].all()
    assert (photo.rgb[:, :, 0] == 0).all()


BILEVEL = Image.fromarray(RGB[..., 0] > 30000)
COLOURS_8 = Image.fromarray((RGB // 257).astype(np.uint8))
SHALLOW_TIFFS = {
    "bilevel": (saved(BILEVEL, "TIFF"), BILEVEL),
    "fax": (saved(BILEVEL, "TIFF", compression="group4"), BILEVEL),
    "palette": (saved(COLOURS_8.quantize(16), "TIFF"), COLOURS_8.quantize(16)),
    "lzw": (saved(COLOURS_8, "TIFF", compression="tiff_lzw"), COLOURS_8),
    "packbits": (saved(COLOURS_8, "TIFF", compression="packbits"), COLOURS_8),
    "planar": (tiff(np.asarray(COLOURS_8).transpose(2, 0, 1).copy(), planarconfig="separate"),
               COLOURS_8),
    "tiled": (tiff(np.asarray(COLOURS_8), tile=(16, 16), compression="zlib"), COLOURS_8),
    "predictor": (tiff(np.asarray(COLOURS_8), compression="zlib", predictor=2), COLOURS_8),
    "white is zero": (tiff(255 - np.asarray(COLOURS_8.convert("L")), "miniswhite"),
                      COLOURS_8.convert("L")),
    "big-endian": (tiff(np.asarray(COLOURS_8), byteorder=">"), COLOURS_8),
}  # fmt: skip


@pytest.mark.parametrize("name", SHALLOW_TIFFS)
def test_shallow_tiff_files_are_read_exactly(tmp_path: Path, name: str) -> None:
    content, image = SHALLOW_TIFFS[name]
    photo = read(tmp_path, content)
    assert photo.bits == 8
    assert photo.is_gray is (image.mode in ("1", "L"))
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0) * 255, expected, atol=0.01)


def test_jpeg_in_tiff_is_ycbcr(tmp_path: Path) -> None:
    ramp = np.zeros((32, 32, 3), np.uint8)
    ramp[..., 0], ramp[..., 2] = np.arange(32) * 8, np.arange(32)[:, None] * 8
    image = Image.fromarray(ramp)
    photo = read(tmp_path, saved(image.convert("YCbCr"), "TIFF", compression="jpeg"))
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0) * 255, ramp, atol=40)
    assert (photo.rgb[0, :, -8:] > 0.6).all()


def cmyk16() -> bytes:
    return tiff(RGBA, "separated", planarconfig="contig")


def unequal() -> bytes:
    content = bytearray(tiff(np.asarray(COLOURS_8), byteorder="<"))
    depths = struct.pack("<3H", 8, 8, 8)
    place = content.index(depths)
    content[place : place + 6] = struct.pack("<3H", 5, 6, 5)
    return bytes(content)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "uint32": (lambda: tiff(RGB.astype(np.uint32)), "32-bit unsigned samples; expected"),
    "int16": (lambda: tiff(RGB.astype(np.int16)), "16-bit signed samples"),
    "int8": (lambda: tiff(np.asarray(COLOURS_8).astype(np.int8)), "8-bit signed samples"),
    "int32": (lambda: tiff(RGB.astype(np.int32)), "32-bit signed samples"),
    "complex": (lambda: tiff(FLOAT[..., 0].astype(np.complex64), "minisblack"), "complex"),
    "float above": (lambda: tiff(FLOAT * 300), r"from 0\.\d+ to 299\.\d+; expected 0 to 1"),
    "float below": (lambda: tiff(FLOAT - 0.5), "values from -0.49"),
    "float NaN": (lambda: tiff(np.full((4, 4), np.nan, np.float32), "minisblack"), "nan"),
    "CMYK 16": (cmyk16, "16-bit TIFF in SEPARATED colours; convert it to RGB"),
    "Lab 16": (lambda: tiff(RGB, "cielab"), "16-bit TIFF in CIELAB colours"),
    "inks": (lambda: tiff(RGBA.astype(np.uint8), "separated", planarconfig="contig",
                          extratags=[(332, "H", 1, 2, True)]), "inks other than CMYK"),
    "raw": (lambda: tiff(GRAY[..., 0], 32803), "CFA"),
    "extra": (lambda: tiff(RGBA, extrasamples=["unspecified"]), "4 channels, expected 3"),
    "extras": (lambda: tiff(random_samples(9, 9, 6)), "6 channels, expected 3"),
    "pages": (lambda: tiff(RGB[None].repeat(3, 0)), "several pages"),
    "ImageJ stack": (lambda: tiff(PLANES, None, imagej=True), "several pages"),
    "unequal": (unequal, "unequal depth"),
    "CMYK 8": (lambda: saved(COLOURS_8.convert("CMYK"), "TIFF"), "CMYK without a usable colour"),
    "CMYK JPEG": (lambda: saved(COLOURS_8.convert("CMYK"), "JPEG"), "CMYK without a usable"),
    "GIF frames": (lambda: frames("GIF"), "several pages or frames"),
    "PNG frames": (lambda: frames("PNG"), "several pages or frames"),
    "WebP frames": (lambda: frames("WEBP"), "several pages or frames"),
    "PPM pictures": (lambda: 2 * b"P6 1 1 255\nabc", "several pages"),
}  # fmt: skip


def frames(file_format: str) -> bytes:
    others = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    first = Image.new("RGB", (9, 9), "green")
    return saved(first, file_format, save_all=True, append_images=others)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, reason = REFUSED[name]
    assert re.search(reason, refusal(tmp_path, content()))


def float_predictor() -> bytes:
    return tiff(FLOAT, compression="zlib", extratags=[("Predictor", "H", 1, 3, True)])


def planar_lzw() -> bytes:
    content = bytearray(opencv_tiff(RGB, 5))
    entry = struct.pack("<HHII", 284, 3, 1, 1)
    place = content.index(entry)
    content[place : place + 12] = struct.pack("<HHII", 284, 3, 1, 2)
    return bytes(content)


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs reads them")
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (planar_lzw, "LZW"),
        (float_predictor, "ADOBE_DEFLATE and predictor 3"),
        (lambda: saved(Image.fromarray(GRAY[..., 0]), "TIFF", compression="zstd"), "ZSTD"),
    ],
)
def test_compression_that_needs_imagecodecs_is_named(
    tmp_path: Path, content: Callable[[], bytes], name: str
) -> None:
    assert f"compression {name} cannot be read; save it uncompressed" in refusal(
        tmp_path, content()
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["deep", "lzw", "shallow"])
def test_orientation_of_tiff_files(tmp_path: Path, kind: str, orientation: int) -> None:
    image = COLOURS_8.convert("L").convert("RGB") if kind == "lzw" else COLOURS_8
    turned = Image.open(io.BytesIO(saved(image, "PNG", exif=exif_of(orientation))))
    expected = np.asarray(ImageOps.exif_transpose(turned))
    if kind == "lzw":  # decoded by OpenCV, which would turn it as well
        deep = Image.fromarray(np.asarray(COLOURS_8.convert("L")).astype(np.uint16) * 257)
        content = saved(deep, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    else:
        samples = np.asarray(COLOURS_8)
        samples = samples if kind == "shallow" else samples.astype(np.uint16) * 257
        content = tiff(samples, extratags=[(274, "H", 1, orientation, True)])
    photo = read(tmp_path, content)
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0) * 255, expected, atol=0.01)


@pytest.mark.parametrize("kind", ["deep", "shallow"])
@pytest.mark.parametrize("first", [False, True])
def test_a_thumbnail_is_no_page(tmp_path: Path, kind: str, first: bool) -> None:
    subfile_types = [int(is_thumbnail) for is_thumbnail in (first, not first)]
    buffer = io.BytesIO()
    if kind == "deep":
        expected = RGB.astype(int)
        with tifffile.TiffWriter(buffer) as file:
            for number in subfile_types:
                part = RGB[::4, ::4] if number else RGB
                file.write(part, photometric="rgb", subfiletype=number, metadata=None)
    else:
        whole = COLOURS_8.quantize(16)
        expected = np.asarray(whole.convert("RGB")).astype(int) * 257
        pages = [whole.resize((9, 6)) if number else whole for number in subfile_types]
        pages[1].encoderinfo = {"tiffinfo": {254: subfile_types[1]}}
        options: dict[str, Any] = {"tiffinfo": {254: subfile_types[0]}, "compression": "tiff_lzw"}
        pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], **options)
    photo = read(tmp_path, buffer.getvalue())
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0) * 65535, expected, atol=0.01)


def test_a_raw_photograph_is_refused(tmp_path: Path) -> None:
    content = tiff(np.asarray(COLOURS_8), subfiletype=1)
    assert "a raw photograph?" in refusal(tmp_path, content)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
