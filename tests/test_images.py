"""Image files: what is read, what is kept, and how bad input is refused."""

from __future__ import annotations

import io
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import SRGB_PROFILE, png_chunk, random_samples
from PIL import Image, ImageCms, ImageOps

from eamamba.images import (
    ImageError,
    Photo,
    list_images,
    read_image,
    read_photo,
    write_image,
    write_photo,
)


def random_photo(bits: int, is_gray: bool, transparent: bool) -> Photo:
    samples = random_samples(4, 11, 14, bits=bits).astype(np.float32) / np.float32(2**bits - 1)
    channels = torch.from_numpy(samples)
    rgb = channels[:1].repeat(3, 1, 1) if is_gray else channels[:3]
    return Photo(rgb, channels[3:] if transparent else None, is_gray, bits, SRGB_PROFILE, None)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("is_gray", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_lossless_formats_keep_everything(
    tmp_path: Path, suffix: str, bits: int, is_gray: bool, transparent: bool
) -> None:
    photo = random_photo(bits, is_gray, transparent)
    path = tmp_path / f"photo{suffix}"
    write_photo(path, photo)
    again = read_photo(path)
    assert torch.equal(again.rgb, photo.rgb)
    assert (again.alpha is None) is (photo.alpha is None)
    if photo.alpha is not None and again.alpha is not None:
        assert torch.equal(again.alpha, photo.alpha)
    assert (again.bits, again.icc_profile) == (bits, SRGB_PROFILE)
    assert again.is_gray is is_gray
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_8_bit_colours_survive_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    rgb = random_photo(8, False, False).rgb
    write_image(path, rgb)
    assert torch.equal(read_image(path), rgb)


def test_jpeg_is_close_and_keeps_profile(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64)
    path = tmp_path / "photo.jpg"
    write_photo(path, Photo(ramp, bits=16, icc_profile=SRGB_PROFILE))
    again = read_photo(path)
    assert (again.rgb - ramp).abs().max() < 0.02
    assert (again.bits, again.icc_profile) == (8, SRGB_PROFILE)


def test_colours_are_clipped_and_rounded(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    write_image(path, torch.tensor([-0.5, 0.499 / 255, 0.501 / 255, 7.0]).expand(3, 1, 4))
    assert (read_image(path)[0] * 255).tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "YCbCr", "LAB"])
def test_every_mode_gives_the_colours_that_pillow_shows(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(random_samples(12, 9, 3))
    image = (
        image.convert("L").convert("LA")
        if mode == "LA"
        else image.convert("RGB" if mode == "LAB" else mode)
    )
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    path = tmp_path / ("photo.png" if mode in ("1", "L", "LA", "P", "RGB", "RGBA") else "photo.tif")
    image.save(path)
    photo = read_photo(path)
    expected = np.asarray(image.convert("RGB"), np.float32) / 255
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0), expected, atol=1e-6)
    assert photo.is_gray is (mode in ("1", "L", "LA"))
    assert (photo.alpha is not None) is (mode in ("LA", "RGBA"))
    assert photo.rgb.dtype == torch.float32
    assert photo.rgb.is_contiguous()


def test_transparent_palette_and_colour_key(tmp_path: Path) -> None:
    palette = Image.fromarray(random_samples(6, 6, 3)).quantize(8)
    palette.save(tmp_path / "palette.png", transparency=3)
    alpha = read_photo(tmp_path / "palette.png").alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha[0], np.asarray(palette) != 3)


def test_16_bit_gray_of_pillow(tmp_path: Path) -> None:
    samples = random_samples(7, 5, bits=16)
    for name in ("gray.png", "gray.tif"):
        Image.fromarray(samples).save(tmp_path / name)
        photo = read_photo(tmp_path / name)
        assert (photo.bits, photo.is_gray) == (16, True)
        np.testing.assert_allclose(photo.rgb[1] * 65535, samples, atol=0.01)


def test_16_bit_pictures_name_the_library_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "deep.png", random_photo(16, False, False))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImageError, match="pip install opencv-python-headless"):
        read_image(tmp_path / "deep.png")


def test_floating_point_gray(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "gray.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.tif")[0], values)
    Image.fromarray(values * 300).save(tmp_path / "wide.tif")
    with pytest.raises(ImageError, match=r"values from 0 to 300; expected 0 to 1"):
        read_image(tmp_path / "wide.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_orientation_is_followed_once(tmp_path: Path, orientation: int, bits: int) -> None:
    samples = random_samples(5, 8, 3)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    upright = io.BytesIO()
    Image.fromarray(samples).save(upright, format="PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(upright)), np.float32) / 255
    path = tmp_path / "photo.png"
    colours = torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)
    write_photo(path, Photo(colours, bits=bits, exif=exif.tobytes()))
    photo = read_photo(path)
    np.testing.assert_allclose(photo.rgb.permute(1, 2, 0), expected, atol=1e-5)
    write_photo(path, photo)
    again = read_photo(path)
    assert torch.equal(again.rgb, photo.rgb)
    assert photo.exif is not None
    assert again.exif == photo.exif
    with Image.open(path) as image:
        assert image.getexif().get(0x010F) == "maker"


def decompression_bomb() -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def truncated_png(bits: int) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.png"
        write_photo(path, random_photo(bits, False, False))
        whole = path.read_bytes()
    return whole[: len(whole) * 2 // 3]


BAD_FILES = {
    "empty": (b"", "empty file"),
    "text": (b"these are words\n" * 50, "not an image"),
    "truncated": (truncated_png(8), "damaged image"),
    "truncated 16 bits": (truncated_png(16), "damaged image"),
    "bomb": (decompression_bomb(), r"exceeds limit.*smaller files"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    write_photo(path, random_photo(16, False, False))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = whole[: generator.integers(1, whole.size + 1)].copy()
        places = generator.integers(0, damaged.size, 3)
        damaged[places] = generator.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            photo = read_photo(path)
        except ImageError:
            continue
        assert photo.rgb.shape[0] == 3


def test_nothing_is_written_when_something_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"as before")
    rgb = torch.rand(3, 4, 4)
    bad = [
        (path, Photo(rgb * torch.nan), "NaN"),
        (path, Photo(rgb[:1]), r"shape \(1, 4, 4\); expected \(3, H, W\)"),
        (path, Photo(rgb, alpha=rgb[:1, :2]), r"transparency of shape \(1, 2, 4\)"),
        (path, Photo(rgb, bits=12), "12 bits"),
        (tmp_path / "photo.xyz", Photo(rgb), r"ending in '\.xyz'; use \.bmp"),
        (tmp_path / "photo", Photo(rgb), r"ending in ''"),
        (tmp_path / "photo.jpg", Photo(rgb, alpha=rgb[:1]), r"cannot be transparent; use \.png"),
        (tmp_path / "photo.webp", Photo(rgb[..., :1].repeat(1, 1, 17000)), "17000x4 pixels"),
        (tmp_path / "missing" / "photo.png", Photo(rgb), "create it first"),
    ]
    for target, photo, reason in bad:
        with pytest.raises(ImageError, match=reason):
            write_photo(target, photo)
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]
    assert path.read_bytes() == b"as before"


def test_interrupted_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"as before")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(ImageError, match=r"cannot write the file \(No space left"):
        write_image(path, torch.rand(3, 4, 4))
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]
    assert path.read_bytes() == b"as before"


def test_reading_in_threads_leaves_warnings_alone(tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", torch.rand(3, 40, 40))
    before = list(warnings.filters), warnings.showwarning
    barrier, seen = threading.Barrier(8), []

    def read() -> None:
        barrier.wait()
        for _ in range(40):
            read_image(tmp_path / "photo.png")
            seen.append((list(warnings.filters), warnings.showwarning) == before)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 * 40
    assert all(seen)
    assert (list(warnings.filters), warnings.showwarning) == before


def test_list_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images; expected files in"):
        list_images(tmp_path)
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "missing")
