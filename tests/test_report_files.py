"""Figures and pictures as files: their pixels, and how they look side by side on a page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from results_by_hand import means

from eamamba import report


@pytest.fixture
def example() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    clean, degraded, restored = rng.random((3, 3, 16, 24), np.float32) * 1.2
    scores = {"psnr_input_db": 20.0, "psnr_db": 26.0}
    return SimpleNamespace(
        name="a.png", clean=clean, degraded=degraded, restored=restored, scores=scores
    )


def test_charts_are_transparent_and_photographs_are_not(
    example: SimpleNamespace, tmp_path: Path
) -> None:
    sizes = pd.DataFrame({"model": ["a", "a"], "size": [32, 64], "gflops": [1, 4.0]})
    report.save(report.complexity_by_size(sizes), tmp_path / "chart.png")
    report.save(report.comparison({"best": example}, "all"), tmp_path / "photographs.jpg")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.getpixel((0, 0))[3] == 0
    with Image.open(tmp_path / "photographs.jpg") as photographs:
        assert photographs.getpixel((0, 0)) == (255, 255, 255)


def test_summaries_share_an_axis(example: SimpleNamespace) -> None:
    drawn = [
        report.summary(example, "all", report.scores({"x": {"all": means(gain)}}), "y")
        for gain in (1, 6)
    ]
    assert [figure.axes[-1].get_xlim() for figure in drawn] == [(5, 50), (5, 50)]


def test_pictures_are_saved_pixel_by_pixel_under_names_of_their_own(
    example: SimpleNamespace, tmp_path: Path
) -> None:
    files = report.save_pictures(example, tmp_path / "new", "rain_all")
    assert files == {
        "truth": "a.webp",
        "input": "rain_all_a_input.webp",
        "restored": "rain_all_a_restored.webp",
    }
    for name, picture in (("input", example.degraded), ("restored", example.restored)):
        with Image.open(tmp_path / "new" / files[name]) as image:
            found = np.asarray(image.convert("RGB"), np.float32) / 255
        expected = np.clip(picture, 0, 1).transpose(1, 2, 0)
        assert found.shape == expected.shape
        assert abs(found.mean() - expected.mean()) < 0.02
