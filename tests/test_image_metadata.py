"""What stands beside the pixels survives, and what cannot be held is told before the work."""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import SRGB_PROFILE, camera_exif, gray_profile, png, png_chunk, saved, tiff
from PIL import ExifTags, Image

from eamamba.images import ImageError, Photo, check_place, check_target, read_photo, write_photo

RGB = torch.rand(3, 6, 9, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="c"/></x:xmpmeta>'
SUFFIXES = [".jpg", ".png", ".tif", ".webp"]


def camera_jpeg(path: Path) -> Path:
    image = Image.fromarray((RGB.permute(1, 2, 0) * 255).byte().numpy())
    exif = camera_exif(orientation=6)
    image.save(path, exif=exif, dpi=(300, 240), xmp=XMP, icc_profile=SRGB_PROFILE)
    return path


def exif_content(block: bytes | None) -> list[object]:
    """Return the tags of the photograph, and those in each directory."""
    exif = Image.Exif()
    exif.load(block or b"")
    tags = {tag: exif[tag] for tag in (0x010F, 0x0110, 0x8298) if tag in exif}
    directories = [dict(exif.get_ifd(tag)) for tag in (0x8769, 0x8825, 0xA005)]
    directories[0].pop(0xA005, None)  # where the third one is
    return [tags, *directories]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_camera_jpeg_keeps_what_it_says(tmp_path: Path, suffix: str, bits: int) -> None:
    photo = read_photo(camera_jpeg(tmp_path / "camera.jpg"))
    assert photo.rgb.shape == (3, 9, 6)  # upright
    path = tmp_path / f"photo{suffix}"
    write_photo(path, Photo(**{**vars(photo), "bits": bits}))
    again = read_photo(path)
    assert again.rgb.shape == (3, 9, 6)
    content = exif_content(again.exif)
    assert content == exif_content(camera_exif())
    assert content[0][0x8298] == "© someone"  # type: ignore[index]
    assert again.icc_profile == SRGB_PROFILE
    assert again.xmp == XMP.replace(b' tiff:Orientation="6"', b"")
    if suffix != ".webp":
        assert again.dpi == pytest.approx((300, 240), abs=0.02)
    write_photo(tmp_path / f"third{suffix}", again)
    third = read_photo(tmp_path / f"third{suffix}")
    assert exif_content(third.exif) == content
    assert (third.xmp, third.dpi) == (again.xmp, again.dpi)


def test_the_thumbnail_of_the_picture_as_it_was_is_left_out(tmp_path: Path) -> None:
    block = bytearray(camera_exif())
    (start,) = struct.unpack_from("<I" if block[6:8] == b"II" else ">I", block, 10)
    order = "<" if block[6:8] == b"II" else ">"
    (count,) = struct.unpack_from(order + "H", block, 6 + start)
    following = 6 + start + 2 + 12 * count
    struct.pack_into(order + "I", block, following, start)
    image = Image.new("RGB", (4, 4))
    (tmp_path / "a.jpg").write_bytes(saved(image, "JPEG", exif=bytes(block)))
    exif = Image.Exif()
    exif.load(bytes(block))
    assert exif.get_ifd(ExifTags.IFD.IFD1)
    exif = Image.Exif()
    exif.load(read_photo(tmp_path / "a.jpg").exif or b"")
    assert not exif.get_ifd(ExifTags.IFD.IFD1)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "TIFF 16", "TIFF LZW"])
def test_orientation_in_xmp_alone_is_followed_once(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (6, 4))
    tag = [(700, "B", len(XMP), XMP, True)]
    packet = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    makers = {
        "PNG": lambda: png([bytes(18)] * 4, 6, 8, 2, packet),
        "TIFF": lambda: tiff(np.zeros((4, 6, 3), np.uint8), extratags=tag),
        "TIFF 16": lambda: tiff(np.zeros((4, 6, 3), np.uint16), extratags=tag),
        "TIFF LZW": lambda: saved(image, "TIFF", compression="tiff_lzw", tiffinfo={700: XMP}),
    }
    path = tmp_path / "photo"
    path.write_bytes(makers.get(kind, lambda: saved(image, kind, xmp=XMP))())
    photo = read_photo(path)
    assert photo.rgb.shape == (3, 6, 4)
    write_photo(tmp_path / "again.png", photo)
    assert read_photo(tmp_path / "again.png").rgb.shape == (3, 6, 4)


def test_pixels_per_centimetre(tmp_path: Path) -> None:
    image = Image.new("L", (4, 4))
    image.save(tmp_path / "a.tif", resolution_unit="cm", resolution=100)
    assert read_photo(tmp_path / "a.tif").dpi == pytest.approx((254, 254))


COLOUR_CHUNKS = {
    "linear": [png_chunk(b"gAMA", struct.pack(">I", 100000))],
    "wide": [png_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000,
                                            15000, 6000))],
    "hdr": [png_chunk(b"cICP", bytes([9, 16, 0, 1]))],
    "usual": [png_chunk(b"gAMA", struct.pack(">I", 45455)),
              png_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000,
                                             15000, 6000))],
    "srgb": [png_chunk(b"sRGB", b"\0"), png_chunk(b"gAMA", struct.pack(">I", 100000))],
}  # fmt: skip


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", COLOUR_CHUNKS)
def test_png_keeps_what_its_colours_mean(tmp_path: Path, name: str, bits: int) -> None:
    chunks = COLOUR_CHUNKS[name]
    (tmp_path / "a.png").write_bytes(png([bytes(3 * bits // 8)] * 2, 1, bits, 2, *chunks))
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png", photo)
    content = (tmp_path / "b.png").read_bytes()
    assert all(chunk in content for chunk in chunks)
    assert content.index(chunks[-1]) < content.index(b"IDAT")
    for suffix in (".jpg", ".tif", ".webp", ".bmp"):
        if name in ("usual", "srgb"):
            check_target(tmp_path / f"c{suffix}", photo)
        else:
            with pytest.raises(ImageError, match=r"the colours are not sRGB .*; use \.png"):
                check_target(tmp_path / f"c{suffix}", photo)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".bmp"])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_gray_profile_stays_in_gray_files(
    tmp_path: Path, suffix: str, transparent: bool, bits: int
) -> None:
    profile = gray_profile(1.0)
    alpha = torch.ones(1, 6, 9)
    photo = Photo(torch.full((3, 6, 9), 0.5), alpha if transparent else None, True, bits, profile)
    path = tmp_path / f"photo{suffix}"
    write_photo(path, photo)
    again = read_photo(path)
    assert again.icc_profile == (profile if again.is_gray and suffix != ".bmp" else None)
    assert again.is_gray is (suffix != ".webp")
    if suffix == ".webp":  # linear 0.5 in sRGB
        assert again.rgb.mean() == pytest.approx(188 / 255, abs=0.01)


def test_a_profile_for_other_channels_is_no_profile(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4))
    image.save(tmp_path / "a.png", icc_profile=gray_profile(2.2))
    assert read_photo(tmp_path / "a.png").icc_profile is None
    write_photo(tmp_path / "b.tif", Photo(RGB, icc_profile=gray_profile(2.2)))
    with Image.open(tmp_path / "b.tif") as image:
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("suffix", [".jpg", ".jfif", ".bmp"])
def test_opaque_transparency_is_no_reason_to_refuse(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    write_photo(path, Photo(RGB, torch.full((1, 6, 9), 0.9999)))
    assert read_photo(path).alpha is None
    seen_through = torch.ones(1, 6, 9)
    seen_through[0, 3, 3] = 254 / 255
    with pytest.raises(ImageError, match=r"cannot be transparent; use \.png"):
        check_target(path, Photo(RGB, seen_through))


@pytest.mark.parametrize(
    ("suffix", "facts", "reason"),
    [
        (".jpg", {"exif": bytes(70000)}, "hold 70000 bytes of EXIF data, at most 65533"),
        (".jpg", {"xmp": bytes(65510)}, "hold 65539 bytes of XMP data"),
        (".webp", {"rgb": torch.zeros(3, 1, 9000)}, r"cannot hold 18000x2 pixels; use \.png"),
        (".jpg", {"rgb": torch.zeros(3, 33000, 1)}, "cannot hold 2x66000 pixels"),
        (".xyz", {}, r"cannot write files ending in '\.xyz'"),
    ],
)
def test_what_a_format_cannot_hold_is_known_before(
    tmp_path: Path, suffix: str, facts: dict, reason: str
) -> None:
    photo = Photo(**{"rgb": RGB, **facts})
    with pytest.raises(ImageError, match=reason):
        check_target(tmp_path / f"photo{suffix}", photo, upscale=2)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("length", [217, 240, 255])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_long_names(tmp_path: Path, suffix: str, length: int) -> None:
    path = tmp_path / ("x" * (length - len(suffix)) + suffix)
    check_target(path, Photo(RGB))
    write_photo(path, Photo(RGB))
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(ImageError, match=r"cannot write the file \(File name too long\)"):
        check_place(tmp_path / ("x" * 256))


def test_places_where_no_file_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="a folder has this name"):
        check_place(tmp_path / "folder.png")
    with pytest.raises(ImageError, match="create it first"):
        check_place(tmp_path / "missing" / "photo.png")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ImageError, match=r"cannot write the file \(Read-only file system\)"):
        check_target(tmp_path / "photo.png", Photo(RGB))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_permissions_of_a_replaced_photo_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    write_photo(path, Photo(RGB))
    path.chmod(0o600)
    write_photo(path, Photo(1 - RGB))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    np.testing.assert_allclose(read_photo(path).rgb, 1 - RGB, atol=1e-6)
