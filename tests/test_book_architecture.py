"""The diagrams of the network show its settings, in every number."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from architecture import draw_block, draw_network, write_diagrams

from eamamba.config import EAMambaSettings, MambaSettings

SETTINGS = EAMambaSettings(
    dim=24,
    num_blocks=(1, 2, 3, 5),
    num_refinement_blocks=6,
    mamba_cfg=MambaSettings(scan_count=4, d_state=7),
)


def texts(drawing: str) -> list[str]:
    """The words of a drawing, which must be well-formed."""
    return [text.text or "" for text in ElementTree.fromstring(drawing).iter("text")]


def test_the_network_shows_blocks_and_channels_of_every_level() -> None:
    found = texts(draw_network(SETTINGS))
    counts = [int(n) for n in re.findall(r"(\d+) blocks", " ".join(found))]
    assert sorted(counts) == sorted([1, 1, 2, 2, 3, 3, 5, 6])
    shapes = [text for text in found if text.startswith("H")]
    down_and_up = ["H×W×24", "H×W×48"] + 2 * ["H/2×W/2×48"] + 2 * ["H/4×W/4×96"]
    assert sorted(shapes) == sorted([*down_and_up, "H/8×W/8×192"])


def test_the_block_shows_heads_and_states() -> None:
    found = texts(draw_block(SETTINGS))
    assert "head 4" in found
    assert "7 states a channel" in found


@pytest.mark.parametrize("draw", [draw_network, draw_block])
def test_everything_drawn_is_inside(draw: object) -> None:
    drawing = draw(SETTINGS)  # type: ignore[operator]
    root = ElementTree.fromstring(drawing).find("svg")
    assert root is not None
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for box in root.iter("rect"):
        x, y, wide, high = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height


def test_pages_include_the_diagrams_of_the_paper(tmp_path: Path) -> None:
    write_diagrams(tmp_path / "architecture")
    names = {path.name for path in (tmp_path / "architecture").iterdir()}
    assert names == {"block.md", "network.md"}
