"""The page *Restore your photo here* in a real browser, opened as a file and from a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import in_each_browser, serve, visit, write_page
from browser_page import write_browser_page
from pictures import seeded
from PIL import Image

from eamamba import load_model
from eamamba.images import Photo, read_image, write_image
from eamamba.restore import restore_photo

ROOT = Path(__file__).parents[1]
PROGRAM = "restore_page.mjs"
CHAPTER = ROOT / "book" / "restore_here.md"
MOST_BYTES = 4_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with all that it loads, in a folder; the rest of the book is left out."""
    folder = tmp_path_factory.mktemp("site")
    write_page(CHAPTER, folder)
    write_browser_page(ROOT, folder / "_static" / "restore")
    return folder


@pytest.fixture
def server(site: Path) -> Iterator[str]:
    """The address of the page from a server."""
    with serve(site) as address:
        yield f"{address}/restore_here.html"


def use_page(
    browser: str,
    address: str,
    scenario: str,
    file: Path | str = "",
    model: str = "",
    target: Path | str = "",
) -> dict[str, Any]:
    """Return what the page said, after a scenario of restore_page.mjs; it must not throw."""
    return visit(PROGRAM, address, scenario, file, model, target, browser=browser)


def test_page_is_light_before_a_network_is_chosen(site: Path) -> None:
    scripts = re.findall(r'(?:src|href)="(_static/[^"]+)"', CHAPTER.read_text("utf-8"))
    assert len(scripts) == 4
    assert sum((site / name).stat().st_size for name in scripts) < MOST_BYTES


def photograph(path: Path, height: int, width: int) -> Path:
    """Write a smooth picture with noise, so that there is something to restore."""
    coarse = torch.rand(1, 3, 5, 6, generator=seeded())
    picture = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    noise = 0.1 * torch.randn(picture.shape, generator=seeded())
    write_image(path, (picture + noise).clamp(0, 1))
    return path


@in_each_browser
@pytest.mark.parametrize("opened", ["file", "http"])
@pytest.mark.parametrize(
    ("model", "size"), [("compact_denoiser", (270, 250)), ("sr_light_x3", (60, 45))]
)
def test_restores_as_python_does(
    tmp_path: Path,
    site: Path,
    request: pytest.FixtureRequest,
    browser: str,
    opened: str,
    model: str,
    size: tuple[int, int],
) -> None:
    file = photograph(tmp_path / "photo.png", *size)
    address = (site / "restore_here.html").as_uri()
    if opened == "http":
        address = request.getfixturevalue("server")
    result = use_page(browser, address, "restore", file, model, tmp_path / "restored.png")
    assert result["said"].startswith(f"{model}: ")
    assert result["shown"]
    (tile,) = re.findall(r"tiles of (\d+)", result["said"])
    expected = restore_photo(load_model(model), Photo(read_image(file)), tile=int(tile)).rgb
    difference = 255 * (read_image(tmp_path / "restored.png") - expected)
    # half a level from rounding, and what the arithmetic of both may differ by
    assert difference.abs().max() < 0.5 + 255e-4


@in_each_browser
def test_photograph_is_turned_upright_and_keeps_transparency(
    tmp_path: Path, site: Path, browser: str
) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(samples).save(tmp_path / "turned.jpg", exif=exif)
    address = (site / "restore_here.html").as_uri()
    restored = tmp_path / "restored.png"
    use_page(browser, address, "restore", tmp_path / "turned.jpg", "compact_denoiser", restored)
    with Image.open(restored) as image:
        assert image.size == (24, 40)

    alpha = np.full((24, 40, 1), 255, np.uint8)
    alpha[5:9] = 0
    Image.fromarray(np.concatenate((samples, alpha), -1)).save(tmp_path / "holes.png")
    use_page(browser, address, "restore", tmp_path / "holes.png", "compact_denoiser", restored)
    with Image.open(restored) as image:
        assert np.array_equal(np.asarray(image)[..., 3:], alpha)


@in_each_browser
def test_photographs_come_by_drop_and_as_the_example(site: Path, browser: str) -> None:
    address = (site / "restore_here.html").as_uri()
    assert use_page(browser, address, "drop")["photo"] == "dropped.png: 5 × 7 pixels"
    assert use_page(browser, address, "example")["photo"].endswith("_noisy.png: 352 × 352 pixels")


@in_each_browser
def test_a_restoration_can_be_cancelled(tmp_path: Path, site: Path, browser: str) -> None:
    file = photograph(tmp_path / "photo.png", 1000, 1200)
    address = (site / "restore_here.html").as_uri()
    result = use_page(browser, address, "cancel", file, "compact_denoiser")
    assert result["said"] == "cancelled"
    assert not result["shown"]


@in_each_browser
def test_what_cannot_be_restored_is_refused(tmp_path: Path, site: Path, browser: str) -> None:
    address = (site / "restore_here.html").as_uri()
    (tmp_path / "notes.jpg").write_text("no picture")
    result = use_page(browser, address, "refuse", tmp_path / "notes.jpg")
    assert result["said"].startswith("this browser cannot read notes.jpg")
    Image.new("RGB", (5000, 5000)).save(tmp_path / "huge.png")
    result = use_page(browser, address, "refuse", tmp_path / "huge.png")
    assert result["said"].startswith(
        "the result would have 25 megapixels, at most 24 fit here: crop"
    )
    file = photograph(tmp_path / "photo.png", 20, 20)
    result = use_page(browser, address, "withoutSimd", file, "compact_denoiser")
    assert "lacks vector instructions" in result["said"]
