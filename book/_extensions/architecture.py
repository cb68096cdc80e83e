"""Diagrams of the network, as SVG in the page's own colours; their numbers are its settings."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from pathlib import Path

from eamamba.config import EAMambaSettings

Point = tuple[float, float]
LINE = 17
"""Height of a line of text, in units of the drawing, of which 720 fill the page."""


def box(centre: Point, size: Point, *lines: str, kind: str = "") -> str:
    """Return a box with centred lines of text."""
    (x, y), (width, height) = centre, size
    top = y - (len(lines) - 1) * LINE / 2
    text = "".join(
        f'<text x="{x:g}" y="{top + n * LINE:g}">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )
    corner = f'x="{x - width / 2:g}" y="{y - height / 2:g}"'
    return f'<rect class="{kind}" {corner} width="{width:g}" height="{height:g}" rx="6"/>{text}'


def arrow(*points: Point) -> str:
    """Return an arrow along some points."""
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="{path}" marker-end="url(#head)"/>'


def note(centre: Point, text: str) -> str:
    """Return a line of small text."""
    x, y = centre
    return f'<text class="note" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def svg(height: int, description: str, *parts: str) -> str:
    """Return a drawing of 720 units' width that scrolls where the page is narrower."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    return (
        f'<div class="architecture" tabindex="0" role="group" aria-label="{escape(description)}">'
        f'<svg viewBox="0 0 720 {height}" role="img" aria-label="{escape(description)}">'
        f"{head}{''.join(parts)}</svg></div>"
    )


def draw_network(settings: EAMambaSettings) -> str:
    """Draw the U-Net: blocks and channels of each level, and what joins the levels."""
    sizes = ["H×W", "H/2×W/2", "H/4×W/4"]
    down, up, refined = 165.0, 480.0, 640.0
    rows, around, bottom = [85.0, 170.0, 255.0], 30.0, 340.0
    wide, latent = (150.0, 50.0), (down + up) / 2
    last = settings.dim * 2 ** len(rows)
    parts = [
        arrow((6, rows[0]), (down - 76, rows[0])),
        note((58, rows[0] + 12), "3×3 conv."),
        box((latent, bottom), wide, f"{settings.num_blocks[-1]} blocks", f"H/8×W/8×{last}"),
        arrow((down, rows[-1] + 25), (down, bottom), (latent - 76, bottom)),
        arrow((latent + 75, bottom), (up, bottom), (up, rows[-1] + 26)),
        arrow((up + 75, rows[0]), (refined - 47, rows[0])),
        box((refined, rows[0]), (94, 50), f"{settings.num_refinement_blocks} blocks", "refine",
            kind="up"),
        arrow((refined, rows[0] - 25), (refined, around + 14)),
        note((refined + 40, rows[0] - 37), "3×3 conv."),
        arrow((20, rows[0]), (20, around), (refined - 14, around)),
        note((latent, around - 12), "the image, to which the network adds what it predicts"),
        box((refined, around), (26, 26), "+"),
        arrow((refined + 13, around), (714, around)),
    ]  # fmt: skip
    for level, (y, size, count) in enumerate(zip(rows, sizes, settings.num_blocks, strict=False)):
        channels = settings.dim * 2**level
        parts += [
            box((down, y), wide, f"{count} blocks", f"{size}×{channels}"),
            box((up, y), wide, f"{count} blocks", f"{size}×{channels * (1 + (level == 0))}",
                kind="up"),
            arrow((down + 75, y), (up - 76, y)),
            note((latent, y - 10), "concatenate"),
        ]  # fmt: skip
    for above, below in pairwise(rows):
        parts += [
            arrow((down, above + 25), (down, below - 26)),
            arrow((up, below - 25), (up, above + 26)),
        ]
    return svg(370, "The network: a U-Net with four levels", *parts)


def draw_block(settings: EAMambaSettings) -> str:
    """Draw the scan of a block: every head scans its share of the channels along its own path."""
    heads, states = settings.mamba_cfg.scan_count, settings.mamba_cfg.d_state
    scan, entry, gate, around = 62.0, 115.0, 170.0, 222.0
    rows = ["head 1", "head 2", "…", f"head {heads}"]
    paths = [(395.0, scan + 27 * (n - 1.5)) for n in range(len(rows))]
    parts = [
        arrow((2, entry), (25, entry)),
        box((70, entry), (90, 36), "LayerNorm"),
        arrow((115, entry), (130, entry)),
        box((160, entry), (58, 36), "linear"),
        arrow((189, entry), (202, entry), (202, scan), (215, scan)),
        arrow((202, entry), (202, gate), (503, gate)),
        note((395, gate - 10), "gate: SiLU"),
        box((262, scan), (94, 46), "3×3 conv.,", "SiLU"),
        *(arrow((309, scan), (348, y)) for _, y in paths),
        *(box(at, (92, 23), row, kind="up") for at, row in zip(paths, rows, strict=True)),
        note((395, scan + 66), f"{states} states a channel"),
        *(arrow((441, y), (476, scan + (y - scan) / 2)) for _, y in paths),
        box((521, scan), (90, 60), "join,", "LayerNorm"),
        arrow((521, scan + 30), (521, gate - 18)),
        box((521, gate), (34, 34), "×"),
        arrow((538, gate), (560, gate)),
        box((590, gate), (58, 36), "linear"),
        arrow((619, gate), (641, gate)),
        box((659, gate), (34, 34), "+"),
        arrow((12, entry), (12, around), (659, around), (659, gate + 18)),
        arrow((676, gate), (718, gate)),
    ]
    return svg(232, f"The scan of a block, in {heads} heads", *parts)


def write_diagrams(folder: Path) -> None:
    """Draw the paper's network, the defaults of its settings, for pages to include."""
    folder.mkdir()
    for name, draw in {"network": draw_network, "block": draw_block}.items():
        drawing = f"```{{raw}} html\n{draw(EAMambaSettings())}\n```\n"
        (folder / f"{name}.md").write_text(drawing, encoding="utf-8")
