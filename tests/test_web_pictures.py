"""Pictures of the book in a real browser: the page *Before and after*, and pictures enlarged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from before_after import write_before_after
from browser import ROOT, in_browser, visit, write_page
from PIL import Image

from eamamba.config import load_settings

VENDORED = ROOT / "book" / "_vendor"
SIDE = 256


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with pictures of two tasks, made by hand."""
    folder = tmp_path_factory.mktemp("site")
    project, made = folder / "project", folder / "project" / "results" / "laptop" / "pictures"
    shown = made / "shown"
    shown.mkdir(parents=True)
    (project / "web").symlink_to(ROOT / "web")
    rows = []
    for number in range(2):
        for task, condition in [
            ("denoise_gaussian", "sigma10"), ("denoise_gaussian", "sigma50"), ("derain", "all"),
        ]:  # fmt: skip
            files = {
                "truth": f"{number}.webp",
                "input": f"{task}_{condition}_{number}_input.webp",
                "restored": f"{task}_{condition}_{number}_restored.webp",
            }
            for shade, file in enumerate(files.values()):
                Image.new("RGB", (SIDE, SIDE), (50 * shade, 0, 0)).save(shown / file)
            rows.append({"task": task, "condition": condition, **files}
                        | {"psnr_input_db": 20.0, "psnr_db": 30.25})  # fmt: skip
    pd.DataFrame(rows).to_csv(made / "pictures.csv", index=False)
    settings = load_settings(ROOT / "params.yaml", "laptop")
    write_before_after(project, settings, "laptop", folder / "_static" / "pictures")
    shutil.copytree(
        VENDORED / "img-comparison-slider", folder / "_static" / "img-comparison-slider"
    )
    write_page(ROOT / "book" / "before_after.md", folder)
    return folder


@pytest.fixture(scope="module")
def states(site: Path) -> dict[str, Any]:
    """What the page shows in every state that before_after.mjs brings it to."""
    address = (site / "before_after.html").as_uri()
    return visit("before_after.mjs", address, 1200, "light")["states"]


@in_browser
def test_every_task_and_strength_shows_its_pictures(states: dict[str, Any]) -> None:
    assert all(state["loaded"] for state in states.values())
    start = states["start"]
    assert start["said"] == (
        "Gaussian noise, σ = 50: 20.00 dB before, 30.25 dB after (RGB PSNR and SSIM)"
    )
    assert start["dial"]
    assert states["strongest"]["files"] == [
        ["denoise_gaussian_sigma50_0_input.webp"],
        ["denoise_gaussian_sigma50_0_restored.webp"],
    ]
    assert states["rain"]["files"][0] == ["derain_all_0_input.webp"]
    assert not states["rain"]["dial"]


@in_browser
def test_the_error_is_the_difference_of_restored_and_truth(states: dict[str, Any]) -> None:
    assert states["error"]["files"] == [["derain_all_0_restored.webp", "0.webp"], ["0.webp"]]


@in_browser
def test_both_sides_show_the_same_part(states: dict[str, Any]) -> None:
    for state in states.values():
        assert state["places"][0] == pytest.approx(state["places"][1], abs=0.5)
    assert states["start"]["places"][0][2:] == [2 * SIDE] * 2  # native pixels, doubled
    width, height = states["enlarged"]["sizes"][0]
    assert states["enlarged"]["sizes"][1] == [width, height]
    assert (1000 < width < 1200, height) == (True, 600), "as far as the window has room"
    left, top, *size = states["enlarged"]["places"][0]
    assert size == [8 * SIDE] * 2
    assert states["dragged"]["places"][0][:2] == pytest.approx([left + 30, top + 20], abs=1)
    assert states["moved"]["places"][0][0] == pytest.approx(left + 30 - 8 * 32, abs=1)
    assert states["keyboard"]["places"][0][2:] == [4 * SIDE] * 2


@in_browser
def test_the_line_moves_by_mouse_and_by_keyboard(states: dict[str, Any]) -> None:
    assert states["start"]["line"] == 50
    assert states["dragged"]["line"] == 50, "dragging the picture leaves the line"
    assert states["slid"]["line"] == pytest.approx(75, abs=3)
    assert states["keyboard"]["line"] < 70


@in_browser
def test_the_page_fits_a_phone(site: Path) -> None:
    shown = visit("before_after.mjs", (site / "before_after.html").as_uri(), 390, "dark")["states"]
    assert all(state["overflow"] <= 0 for state in shown.values())


@pytest.fixture(scope="module")
def page_with_pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a dark page with a chart and a photograph, as the book's pages hold them."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copytree(VENDORED, folder / "_static")
    for name in ("chart.png", "photograph.jpg"):
        Image.new("RGB", (300, 200), "red").save(folder / name)
    (folder / "page.html").write_text(
        '<!doctype html><html data-theme="dark"><meta charset="utf-8"><title>Pictures</title>'
        '<link rel="stylesheet" href="_static/css/pictures.css">'
        '<script src="_static/js/lightbox.js"></script>'
        '<main class="bd-content"><article class="bd-article">'
        '<figure><img src="chart.png" alt="a chart"></figure>'
        '<figure><img src="photograph.jpg" alt="a photograph"></figure></article></main></html>',
        encoding="utf-8",
    )
    return (folder / "page.html").as_uri()


@in_browser
def test_pictures_open_over_the_page_and_photographs_keep_their_colours(
    page_with_pictures: str,
) -> None:
    shown = visit("lightbox.mjs", page_with_pictures, "dark")
    assert shown["first"]["alt"] == "a chart"
    assert shown["second"]["alt"] == shown["clicked"]["alt"] == "a photograph"
    assert shown["filters"] == ["invert(1) hue-rotate(180deg)", "none"]
    assert shown["first"]["filter"] == shown["second"]["filter"] == "none"
    assert "enlarge" in shown["focused"]


def test_vendored_components_come_with_their_licences() -> None:
    for name in ("img-comparison-slider", "photoswipe"):
        assert "MIT" in (VENDORED / name / "LICENSE").read_text(encoding="utf-8")
