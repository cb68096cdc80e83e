"""The picture that shows the book where somebody posts a link to it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from eamamba.report.drawing import INPUT, OURS

CARD = Path("_static") / "card.jpg"
WIDTH, HEIGHT = 1200, 630
"""In pixels, as the sites that show such pictures ask for."""
CARD_SHOWS = "A noisy photograph, restored in its right half, beside the name of the book."
LEFT = 45
SIDES = ("input", "restored")


def write_social_card(pictures: Path, title: str, text: str, path: Path) -> None:
    """Draw the card: words beside a photograph, half as it was, half restored.

    Parameters
    ----------
    pictures : Path
        Output of the stage `pictures`: ``pictures.csv``, and the files that it lists in ``shown/``.
    title, text : str
        One line or more each.
    path : Path
        JPEG file to write.
    """
    made = pd.read_csv(pictures / "pictures.csv")
    first = made[made["task"] == made["task"].iloc[0]]
    strongest = first[first["condition"] == first["condition"].iloc[-1]].iloc[0]
    card = Image.new("RGB", (WIDTH, HEIGHT), "white")
    photograph, restored = (_square(pictures / "shown" / strongest[side]) for side in SIDES)
    photograph.paste(restored.crop((HEIGHT // 2, 0, HEIGHT, HEIGHT)), (HEIGHT // 2, 0))
    ImageDraw.Draw(photograph).line([(HEIGHT // 2, 0), (HEIGHT // 2, HEIGHT)], "white", width=4)
    card.paste(photograph, (WIDTH - HEIGHT, 0))
    draw = ImageDraw.Draw(card)
    draw.multiline_text((LEFT, 70), title, OURS, _font("bold", 62), spacing=14)
    draw.multiline_text((LEFT, 300), text, INPUT, _font("normal", 30), spacing=14)
    card.save(path, quality=85, optimize=True)


def _square(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB").resize((HEIGHT, HEIGHT), Image.Resampling.BICUBIC)


def _font(weight: str, size: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with Matplotlib, which is the same on every machine."""
    name = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(name), size)
