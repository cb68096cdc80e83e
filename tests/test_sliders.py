"""Pictures that answer to a slider: what a browser gets, and that it needs nothing else."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from eamamba import report

RASTER = np.arange(6)
BLACK, WHITE = np.zeros((3, 4, 5)), np.full((3, 4, 5), 1.2)  # what is above 1 is clipped


def pictures(page: str) -> list[np.ndarray]:
    """Decode the pictures that a page holds, in the order of the page."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_the_first_picture_lies_over_the_second() -> None:
    under, over = pictures(report.before_after(BLACK, WHITE, ("noisy", "restored")))
    assert (under == 255).all()
    assert (over == 0).all()
    assert under.shape == over.shape == (4, 5, 3)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"before \(3, 4, 5\), after \(3, 8, 10\)"):
        report.before_after(BLACK, np.zeros((3, 8, 10)), ("small", "large"))


def test_a_path_visits_columns_and_rows_in_order_and_starts_half_way() -> None:
    page = report.scan_slider({"there": RASTER, "back": RASTER[::-1]}, height=2, width=3)
    there, back = re.findall(r'data-path="([^"]+)"', page)
    assert there == "0,0 1,0 2,0 0,1 1,1 2,1"
    assert back.split() == there.split()[::-1]
    assert re.findall(r'class="visited" points="([^"]+)"', page)[0] == "0,0 1,0 2,0"
    assert 'min="1" max="6" value="3"' in page
    assert "translate(2,0)" in page


def test_pages_need_no_network_and_are_the_same_every_time() -> None:
    made = [
        report.before_after(BLACK, WHITE, ("a", "b")) + report.scan_slider({"a": RASTER}, 2, 3)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert not re.search(r"https?:|//|@import|<link|<script", re.sub(r"base64,[^\"]+", "", made[0]))


def test_titles_are_text_and_not_html() -> None:
    assert "<b>" not in report.scan_slider({"<b>": RASTER}, 2, 3)
    assert '"><b>' not in report.before_after(BLACK, WHITE, ('"><b>', "restored"))
