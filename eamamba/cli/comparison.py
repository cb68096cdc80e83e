"""A picture that compares a photograph with its restoration, as a whole and in enlarged details."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

_PANEL_WIDTH = 480
"""Width of each panel in pixels; a narrower photograph is enlarged with square pixels."""
_DETAIL_SIDE, _DETAILS = 80, 2
_GAP, _TITLE_HEIGHT = 8, 26
_COLOURS = ((213, 94, 0), (0, 114, 178))
"""Colours of the frames of details, distinguishable with any colour vision."""

Box = tuple[int, int, int]
"""Top, left and side of a square."""


def draw_comparison(panels: Mapping[str, Tensor]) -> Tensor:
    """Draw images side by side, and below each the same details, enlarged.

    Parameters
    ----------
    panels : mapping
        Title and image (3, H, W) in [0, 1], all of the same size: the input, the restored image and
        optionally the ground truth. Details are chosen where the first two differ most, weighted by
        local contrast.

    Returns
    -------
    Tensor (3, H', W') in [0, 1]
    """
    before, after, *_ = panels.values()
    boxes = interesting_boxes(before, after)
    columns = [_column(title, image, boxes) for title, image in panels.items()]
    height, width = columns[0].height, columns[0].width
    page = Image.new("RGB", (len(columns) * (width + _GAP) - _GAP, height), "white")
    for place, column in enumerate(columns):
        page.paste(column, (place * (width + _GAP), 0))
    return torch.from_numpy(np.array(page)).permute(2, 0, 1) / 255


def interesting_boxes(before: Tensor, after: Tensor) -> list[Box]:
    """Return up to two squares, apart from each other, that best show what has changed."""
    side = min(_DETAIL_SIDE, *before.shape[-2:])
    change = (after - before).abs().mean(0)[None, None]
    mean = F.avg_pool2d(change, side, stride=max(side // 4, 1))[0, 0]
    gray = after.mean(0)[None, None]
    pooled = (F.avg_pool2d(each, side, stride=max(side // 4, 1))[0, 0] for each in (gray**2, gray))
    square, middle = pooled
    worth = mean * (square - middle**2).clamp(min=0).sqrt()
    boxes: list[Box] = []
    for _ in range(_DETAILS):
        row, column = divmod(int(worth.argmax()), worth.shape[1])
        if boxes and worth[row, column] < 0:
            break
        boxes.append((row * max(side // 4, 1), column * max(side // 4, 1), side))
        worth[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = -1
    return boxes


def _column(title: str, image: Tensor, boxes: list[Box]) -> Image.Image:
    """Draw one panel: its title, the whole image with frames, and the details below it."""
    picture = Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    scale = _PANEL_WIDTH / picture.width
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    size = (_PANEL_WIDTH, max(round(picture.height * scale), 1))
    whole = picture.resize(size, kind)
    frames = ImageDraw.Draw(whole)
    details = []
    for (top, left, side), colour in zip(boxes, _COLOURS, strict=False):
        corners = [round(edge * scale) for edge in (left, top, left + side, top + side)]
        frames.rectangle(corners, outline=colour, width=2)
        part = picture.crop((left, top, left + side, top + side))
        detail = part.resize((_PANEL_WIDTH, _PANEL_WIDTH), Image.Resampling.NEAREST)
        ImageDraw.Draw(detail).rectangle((0, 0, *(n - 1 for n in detail.size)), None, colour, 3)
        details.append(detail)
    parts = [whole, *details]
    height = _TITLE_HEIGHT + sum(part.height + _GAP for part in parts) - _GAP
    column = Image.new("RGB", (_PANEL_WIDTH, height), "white")
    ImageDraw.Draw(column).text((2, 3), title, "black", ImageFont.load_default(16))
    top = _TITLE_HEIGHT
    for part in parts:
        column.paste(part, (0, top))
        top += part.height + _GAP
    return column
