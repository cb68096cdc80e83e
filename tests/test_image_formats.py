"""PNG, PGM, PPM, CMYK, GIF, AVIF and MPO files, and files that end early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import (
    cmyk_profile,
    png,
    png_chunk,
    random_samples,
    saved,
    tiff,
)
from PIL import Image, features

from eamamba.images import ImageError, Photo, list_images, read_photo, write_photo

RGB = random_samples(9, 11, 3)


def read(tmp_path: Path, content: bytes) -> Photo:
    path = tmp_path / "photo"
    path.write_bytes(content)
    return read_photo(path)


def colours(photo: Photo, white: float) -> np.ndarray:
    """Return (H, W, 3) in units of a file."""
    return (photo.rgb.permute(1, 2, 0) * white).round().int().numpy()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_png_with_a_colour_key(tmp_path: Path, bits: int) -> None:
    values = np.arange(16).reshape(2, 8) % 2**bits
    digits = values[..., None] >> np.arange(bits)[::-1] & 1
    rows = [np.packbits(row.ravel()).tobytes() for row in digits]
    key = png_chunk(b"tRNS", (1).to_bytes(2, "big"))
    photo = read(tmp_path, png(rows, 8, bits, 0, key))
    assert (photo.is_gray, photo.bits) == (True, max(bits, 8))
    np.testing.assert_array_equal(colours(photo, 2**bits - 1)[..., 0], values)
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha[0], values != 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_rgb_png_with_a_colour_key(tmp_path: Path, bits: int) -> None:
    values = random_samples(3, 4, 3, bits=bits)
    values[1, 2] = values[0, 0]
    values[2, 2, :2] = values[0, 0, :2]  # equal in two channels is not equal
    stored = values.astype(f">u{bits // 8}")
    key = png_chunk(b"tRNS", values[0, 0].astype(">u2").tobytes())
    photo = read(tmp_path, png([row.tobytes() for row in stored], 4, bits, 2, key))
    np.testing.assert_array_equal(colours(photo, 2**bits - 1), values)
    expected = np.ones((3, 4))
    expected[0, 0] = expected[1, 2] = 0
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha[0], expected)


def test_16_bit_gray_png_with_alpha(tmp_path: Path) -> None:
    values = random_samples(3, 4, 2, bits=16)
    photo = read(tmp_path, png([row.tobytes() for row in values.astype(">u2")], 4, 16, 4))
    assert (photo.is_gray, photo.bits) == (True, 16)
    np.testing.assert_array_equal(colours(photo, 65535)[..., 1], values[..., 0])
    assert photo.alpha is not None
    np.testing.assert_array_equal((photo.alpha[0] * 65535).round(), values[..., 1])


@pytest.mark.parametrize("white", [1, 100, 255, 256, 1023, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_netpbm_files_of_every_maximum(tmp_path: Path, kind: int, white: int) -> None:
    channels = 3 if kind in (3, 6) else 1
    values = random_samples(4, 5, channels, bits=16).astype(int) % (white + 1)
    values[0, 0] = white
    if kind in (5, 6):
        body = values.astype(">u2" if white > 255 else "u1").tobytes()
    else:
        body = b"# between\n" + b" ".join(str(value).encode() for value in values.ravel())
    photo = read(tmp_path, b"P%d\n# made by hand\n5 4 # size\n%d\n" % (kind, white) + body)
    assert (photo.bits, photo.is_gray) == (16 if white > 255 else 8, channels == 1)
    np.testing.assert_array_equal(colours(photo, white)[..., :channels], values)
    write_photo(tmp_path / "again.png", photo)
    again = read_photo(tmp_path / "again.png")
    np.testing.assert_array_equal(colours(again, white)[..., :channels], values)


@pytest.mark.parametrize(
    "content",
    [
        b"P5 5 4 255\n" + bytes(19),
        b"P6 5 4 1023\n" + bytes(119),
        b"P2 2 1 10\n 7",
        b"P2 2 1 10\n 7 11",
        b"P5 0 4 255\n",
        b"P5 1 1 70000\n" + bytes(9),
        b"P5 1 1",
        b"P3 1 1 255\n1 2 x",
    ],
)
def test_damaged_netpbm_files(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, content)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(tmp_path: Path, file_format: str) -> None:
    # inks of this profile are what no usual ones are: cyan prints as white, and paper is black
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (255, 0, 0, 0)])
    photo = read(tmp_path, saved(inks, file_format, icc_profile=cmyk_profile()))
    assert photo.rgb.min() > 0.97
    assert photo.icc_profile is None
    assert photo.notes == ("converted from CMYK to sRGB",)
    with pytest.raises(ImageError, match="CMYK without a usable colour profile"):
        read(tmp_path, saved(inks, file_format, icc_profile=b"not a profile"))


def test_gif_of_one_frame(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(8)
    photo = read(tmp_path, saved(palette, "GIF", transparency=3))
    shown = np.asarray(palette) != 3
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha[0], shown)
    expected = np.asarray(palette.convert("RGB"))[shown]
    np.testing.assert_array_equal(colours(photo, 255)[shown], expected)


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


@needs_avif
def test_avif(tmp_path: Path) -> None:
    content = saved(Image.new("RGB", (16, 16), (200, 100, 50)), "AVIF", quality=100)
    np.testing.assert_allclose(colours(read(tmp_path, content), 255)[8, 8], (200, 100, 50), atol=3)
    deep = bytearray(content)
    deep[deep.index(b"av1C") + 6] |= 0x40
    with pytest.raises(ImageError, match="AVIF of more than 8 bits"):
        read(tmp_path, bytes(deep))


def test_a_format_that_this_pillow_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "OPEN", {})
    monkeypatch.setattr(Image, "init", lambda: None)
    with pytest.raises(ImageError, match="this Pillow cannot read WEBP files; pip install -U"):
        read(tmp_path, b"RIFF0000WEBP")


def test_mpo_is_its_first_picture(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    photo = read(tmp_path, saved(first, "MPO", save_all=True, append_images=[second]))
    assert (photo.pictures, photo.notes) == (2, ("first of 2 pictures in the file",))
    np.testing.assert_allclose(colours(photo, 255)[8, 8], (255, 0, 0), atol=3)


WHOLE = {
    "png": saved(Image.fromarray(RGB), "PNG"),
    "jpeg": saved(Image.fromarray(RGB), "JPEG"),
    "webp": saved(Image.fromarray(RGB), "WEBP", lossless=True),
    "gif": saved(Image.fromarray(RGB).quantize(), "GIF"),
    "bmp": saved(Image.fromarray(RGB), "BMP"),
    "tiff": tiff(RGB),
    "tiff deflate": tiff(RGB, compression="zlib", rowsperstrip=2),
    "tiff 16": tiff(RGB.astype(np.uint16)),
    "tiff lzw": saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"),
    "ppm": saved(Image.fromarray(RGB), "PPM"),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_files_that_end_early_are_damaged(tmp_path: Path, name: str, share: float) -> None:
    read(tmp_path, WHOLE[name])
    with pytest.raises(ImageError, match="damaged image") as caught:
        read(tmp_path, WHOLE[name][: int(len(WHOLE[name]) * share)])
    assert "0x" not in str(caught.value)


def test_damaged_is_not_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(WHOLE["png"])

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match=r"cannot be read \(Permission denied\); check its perm"):
        read_photo(path)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ImageError, match=r"cannot be read \(Permission denied\)"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo(tmp_path / ("x" * 300 + ".png"))


def test_suffixes_that_are_listed(tmp_path: Path) -> None:
    for suffix in ("avif", "GIF", "jfif", "ppm", "txt"):
        (tmp_path / f"a.{suffix}").touch()
    names = [path.suffix for path in list_images(tmp_path)]
    assert names == [".GIF", ".avif", ".jfif", ".ppm"]
