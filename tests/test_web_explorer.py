"""The page *Scan explorer* in a real browser: what it shows is what the package computes."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import ROOT, in_browser, visit, write_page
from scan_explorer import LARGEST_DELTA, SMALLEST_DELTA, memory, to_levels, write_scan_explorer

from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.network import build
from eamamba.network.scan_distance import NEIGHBOURS, neighbour_steps
from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import selective_scan

CHAPTER = ROOT / "book" / "scan_explorer.md"
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with all that it loads, in a folder."""
    folder = tmp_path_factory.mktemp("site")
    write_page(CHAPTER, folder)
    write_scan_explorer(ROOT, folder / "_static" / "scans")
    return folder


@pytest.fixture(scope="module")
def data(site: Path) -> dict[str, Any]:
    """What scan_data.js holds."""
    text = (site / "_static" / "scans" / "scan_data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("self.eamambaScans = ").rstrip().removesuffix(";"))


@pytest.fixture(scope="module")
def states(site: Path) -> dict[str, Any]:
    """What the page says in every state that explorer.mjs brings it to."""
    address = (site / "scan_explorer.html").as_uri()
    return visit("explorer.mjs", address, 1200, "light")["states"]


def test_memory_is_that_of_the_first_scan() -> None:
    settings = EAMambaSettings(
        dim=8, num_blocks=(1, 1, 0, 0), num_refinement_blocks=0, mamba_cfg=MambaSettings(d_state=3)
    )
    torch.manual_seed(0)
    network = build(settings).eval()
    delta, A = memory(network, np.random.default_rng(0).random((8, 16, 3)))
    assert delta.shape == (8, 8 * 16, 1)
    assert (delta > 0).all()
    np.testing.assert_allclose(A[3], -np.arange(1, 4)[None], rtol=1e-6)  # where training starts


def test_stored_steps_keep_their_size() -> None:
    delta = np.geomspace(SMALLEST_DELTA, LARGEST_DELTA, 1000)
    levels = np.frombuffer(to_levels(delta), np.uint8)
    np.testing.assert_allclose(read_levels(levels), delta, rtol=0.02)


def test_page_is_light(site: Path) -> None:
    files = list((site / "_static" / "scans").iterdir())
    assert {file.name for file in files} == {
        "controls.css", "explorer.css", "explorer.js", "scan_data.js",
    }  # fmt: skip
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_what_the_page_says_of_the_steps(data: dict[str, Any]) -> None:
    levels = np.frombuffer(base64.b64decode(data["pictures"]["64"]["delta"]), np.uint8)
    steps = read_levels(levels).reshape(8, -1, len(data["A"][0])).mean(-1)
    varying = steps.std(-1) / steps.mean(-1)
    assert "only the second changes its step much" in CHAPTER.read_text(encoding="utf-8")
    assert [head for head, share in enumerate(varying, start=1) if share > 0.1] == [2]
    assert steps.mean(-1).std() > 5 * np.median(steps.std(-1))


def read_levels(levels: np.ndarray) -> np.ndarray:
    """Return Δ as the page reads it."""
    return SMALLEST_DELTA * (LARGEST_DELTA / SMALLEST_DELTA) ** (levels / 255)


def steps_and_memory(cell: str) -> tuple[float, float]:
    """Return what a cell of the table says; a head that comes later has nothing."""
    if cell == "later":
        return np.inf, 0
    steps, percent = re.fullmatch(r"(\d+) steps?(?:<?)([\d.]+) %", cell).groups()  # type: ignore[union-attr]
    return int(steps), float(percent) / 100


def left_by_the_operator(
    data: dict[str, Any], order: torch.Tensor, side: int, pixel: int, neighbour: int
) -> np.ndarray:
    """Return what each head has left of a neighbour at a pixel, from `selective_scan` itself.

    Only the neighbour is written to the states, and each state is read alone.
    """
    A = torch.tensor(data["A"], dtype=torch.float64)
    K, D, N = A.shape
    levels = np.frombuffer(base64.b64decode(data["pictures"][str(side)]["delta"]), np.uint8)
    delta = torch.from_numpy(read_levels(levels)).view(K, side**2, D).transpose(0, 1)[None]
    before_softplus = torch.expm1(delta).log()
    u = torch.zeros(1, side**2, K, D, dtype=torch.float64)
    u[:, neighbour] = 1 / delta[:, neighbour]  # the recurrence multiplies it with Δ
    B = torch.ones(1, side**2, K, N, dtype=torch.float64)
    skip = torch.zeros(K, D, dtype=torch.float64)
    y = selective_scan(u, before_softplus, A, B, B / N, skip, order, "reference")
    return y[0, pixel].mean(-1).numpy()


@in_browser
@pytest.mark.parametrize("pattern", ["raster", "diagonal", "zigzag", "zorder", "hilbert"])
@pytest.mark.parametrize("side", [8, 16, 64])
def test_steps_are_those_of_the_package(states: dict[str, Any], pattern: str, side: int) -> None:
    state = states[f"{pattern} {side}"]
    orders, pixel = scan_order(pattern, 8, side, side).numpy(), (side // 2, side // 2)
    nearest = neighbour_steps(orders, side, side)[:, *pixel]
    shown = [cell.split("\n") for cell in state["grid"] if cell != "the pixel"]
    assert [int(cell[1].split()[0]) for cell in shown] == nearest.astype(int).tolist()
    for head, row in enumerate(state["table"]):
        alone = neighbour_steps(orders[[head]], side, side)[:, *pixel]
        assert [steps_and_memory(cell)[0] for cell in row] == alone.tolist()
    assert len(state["heads"]) == state["lines"] == 8


@in_browser
@pytest.mark.parametrize("pattern", ["raster", "hilbert"])
def test_memory_is_that_of_the_operator(
    states: dict[str, Any], data: dict[str, Any], pattern: str
) -> None:
    side, pixel = 8, (4, 4)
    order = scan_order(pattern, 8, side, side)
    for number, (down, right) in enumerate(NEIGHBOURS):
        neighbour = (pixel[0] + down) * side + pixel[1] + right
        left = left_by_the_operator(data, order, side, pixel[0] * side + pixel[1], neighbour)
        shown = [steps_and_memory(row[number])[1] for row in states[f"{pattern} {side}"]["table"]]
        np.testing.assert_allclose(shown, left, atol=6e-4)


@in_browser
def test_pixels_are_chosen_by_mouse_and_by_keyboard(states: dict[str, Any]) -> None:
    assert states["mouse"]["said"].startswith("Row 1, column 16:")
    assert states["mouse"]["grid"][:3] == ["↖\noutside", "↑\noutside", "↗\noutside"]
    assert len(states["mouse"]["heads"]) == len(states["mouse"]["table"]) == 2
    assert states["keyboard"]["said"].startswith("Row 2, column 16:")
    assert states["head"]["said"].startswith("Row 1, column 1:")


@in_browser
def test_the_page_fits_a_phone_in_the_dark(site: Path) -> None:
    shown = visit("explorer.mjs", (site / "scan_explorer.html").as_uri(), 390, "dark")["states"]
    assert all(state["overflow"] <= 0 for state in shown.values())
