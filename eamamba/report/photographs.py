"""Figures made of images: photographs, receptive fields, scan orders."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from eamamba.files import write_atomically
from eamamba.report.charts import dumbbells
from eamamba.report.drawing import MARK, styled
from eamamba.report.scores import condition_label, first_benchmark

Picture = Any
"""(3, H, W) in [0, 1]: an array or a tensor on the CPU."""
AMPLIFICATION = 5
SUMMARY_PSNR_DB = (5, 50)
"""Axis of every summary, since the book sets them side by side."""
WEBP_QUALITY = 92
"""Of pictures that the book shows alone: small files, with errors below what a network leaves."""


class Example(Protocol):
    """One photograph, degraded and restored, as `eamamba.evaluation.examples` returns it."""

    name: str
    clean: Picture
    degraded: Picture
    restored: Picture
    scores: Mapping[str, float]


def to_display(picture: Picture) -> np.ndarray:
    """Return an image as (H, W, 3), clipped to [0, 1]."""
    return np.clip(np.asarray(picture, dtype=np.float32).transpose(1, 2, 0), 0, 1)


def save_pictures(example: Example, folder: Path, prefix: str) -> dict[str, str]:
    """Write an example's pictures at their own pixels, in a format that browsers read.

    Parameters
    ----------
    example : Example
    folder : Path
        Created if missing.
    prefix : str
        What was done, such as the task; it begins the names of the input and the restored picture.

    Returns
    -------
    dict of str
        "truth", "input" and "restored" with their file names; the truth is the same for all tasks.
    """
    image = Path(example.name).stem
    pictures = {
        "truth": (f"{image}.webp", example.clean),
        "input": (f"{prefix}_{image}_input.webp", example.degraded),
        "restored": (f"{prefix}_{image}_restored.webp", example.restored),
    }
    for name, picture in pictures.values():
        buffer = io.BytesIO()
        to_image(picture).save(buffer, "WEBP", quality=WEBP_QUALITY, method=6)
        write_atomically(folder / name, buffer.getvalue())
    return {kind: name for kind, (name, _) in pictures.items()}


def to_image(picture: Picture) -> Image.Image:
    """Return an image in 8 bits, clipped to [0, 1]."""
    return Image.fromarray(np.rint(to_display(picture) * 255).astype(np.uint8))


def psnr_db(picture: Picture, clean: Picture) -> float:
    """PSNR over all channels of the unclipped images, in dB."""
    difference = np.asarray(picture, dtype=np.float64) - np.asarray(clean, dtype=np.float64)
    return float(-10 * np.log10(np.mean(difference**2)))


def show(axes: Any, picture: np.ndarray, title: str = "", **options: Any) -> Any:
    """Show an image without ticks."""
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, fontweight="normal", loc="center")
    return axes.imshow(picture, **options)


@styled
def contact_sheet(pictures: Mapping[str, Picture], columns: int = 6) -> Figure:
    """Draw all photographs of a set, each with its name."""
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(7.5, 1.5 * rows), dpi=100)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (name, picture) in zip(grid, pictures.items(), strict=False):
        show(axes, to_display(picture), name)
    return figure


@styled
def degradation(clean: Picture, steps: Mapping[str, Picture]) -> Figure:
    """Draw one photograph, clean and then degraded step by step or level by level.

    A colour image of the same size as the clean one has its PSNR in the title. An image of another
    size has its size there and is enlarged to its panel with square pixels.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    steps : mapping
        Title and image, (3 or 1, h, w); a single channel is drawn in gray.
    """
    panels = {"clean": clean, **steps}
    columns = len(panels) if len(panels) <= 4 else 3
    rows = -(-len(panels) // columns)
    height, width = clean.shape[1:]
    row_inches = 7.5 / columns * height / width + 0.4
    figure = Figure(figsize=(7.5, rows * row_inches), dpi=150)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (title, picture) in zip(grid, panels.items(), strict=False):
        high, wide = picture.shape[1:]
        if picture is not clean and picture.shape == clean.shape:
            title += f"\n{psnr_db(picture, clean):.2f} dB"
        elif (high, wide) != (height, width):
            title += f"\n{wide}×{high} pixels"
        show(axes, to_display(picture), title, cmap="gray", vmin=0, vmax=1)
    return figure


@styled
def comparison(examples: Mapping[str, Example], condition: str) -> Figure:
    """Draw the input, restored image, ground truth and amplified error of several photographs.

    Parameters
    ----------
    examples : mapping
        Row label, such as "best", and its photograph.
    condition : str
        Condition of the examples, such as ``sigma25``.
    """
    figure = Figure(figsize=(7.5, 2.1 * len(examples)))
    grid = figure.subplots(len(examples), 4, squeeze=False)
    for row, (label, example) in zip(grid, examples.items(), strict=True):
        clean, restored = to_display(example.clean), to_display(example.restored)
        before, after = _input_and_output_titles(example, condition)
        show(row[0], to_display(example.degraded), before)
        show(row[1], restored, after)
        show(row[2], clean, "truth")
        error = np.clip(AMPLIFICATION * np.abs(restored - clean), 0, 1)
        show(row[3], error, f"|restored − truth| × {AMPLIFICATION}")
        row[0].text(-0.04, 0.5, f"{label}\n{example.name}", transform=row[0].transAxes,
                    rotation=90, ha="right", va="center", fontsize=9)  # fmt: skip
    return figure


def _input_and_output_titles(example: Example, condition: str) -> tuple[str, str]:
    """Return the titles of the input and the restored image, with PSNR by the protocol."""
    seen = f"input, {condition_label(condition)}" if condition.startswith("sigma") else "input"
    before, after = example.scores["psnr_input_db"], example.scores["psnr_db"]
    return f"{seen}: {before:.2f} dB", f"restored: {after:.2f} dB"


@styled
def receptive_field(fields: Mapping[str, np.ndarray]) -> Figure:
    """Draw effective receptive fields side by side.

    Parameters
    ----------
    fields : mapping
        Title and map (H, W) in [0, 1]: the fourth root of the gradient, scaled to a maximum of 1.
    """
    figure = Figure(figsize=(7.5, 2.6))
    row = figure.subplots(1, len(fields), squeeze=False)[0]
    for axes, (title, field) in zip(row, fields.items(), strict=True):
        image = axes.imshow(field, cmap="viridis", vmin=0, vmax=1)
        axes.set(title=title, xlabel="column, pixels", ylabel="row, pixels")
        axes.grid(visible=False)
        axes.label_outer()
    figure.colorbar(image, ax=list(row), label="(|gradient| / largest)$^{1/4}$")
    return figure


@styled
def scan_paths(orders: Mapping[str, np.ndarray], height: int, width: int) -> Figure:
    """Draw scan orders as paths over the pixels, starting dark.

    Parameters
    ----------
    orders : mapping
        Title and order (L,): raster positions in visiting order.
    height, width : int
        Size of the image in pixels, L = height * width.
    """
    columns = len(orders) if len(orders) < 6 else 4
    rows = -(-len(orders) // columns)
    figure = Figure(figsize=(7.5, (2.2 if columns == 4 else 1.8) * rows))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (title, order) in zip(grid, orders.items(), strict=False):
        row, column = np.divmod(np.asarray(order), width)
        points = np.stack([column, row], axis=1).astype(float)
        steps = list(np.stack([points[:-1], points[1:]], axis=1))
        far = np.abs(np.diff(points, axis=0)).max(axis=1) > 1  # jumps are drawn thin
        path = LineCollection(
            steps, cmap="viridis", array=np.arange(len(steps)), linewidths=np.where(far, 0.6, 2.0)
        )
        axes.add_collection(path)
        axes.plot(*points[0], "o", color=MARK, markersize=7)
        axes.plot(*points[-1], "s", color="#444444", markersize=6)
        axes.set(xlim=(-0.8, width - 0.2), ylim=(height - 0.2, -0.8), aspect="equal")
        axes.set_title(title, loc="center")
    return figure


@styled
def summary(example: Example, condition: str, means: pd.DataFrame, source: str) -> Figure:
    """Draw a summary: one photograph degraded, restored and clean, and the mean scores.

    Parameters
    ----------
    example : Example
    condition : str
        Condition of the example, such as ``sigma25``.
    means : DataFrame
        As returned by `scores`; its first benchmark is shown.
    source : str
        What was run, such as "laptop profile".
    """
    means = first_benchmark(means)
    conditions = means["condition"]
    figure = Figure(figsize=(7.5, 3.5 + 0.4 * len(means)))
    heights = [2.7, 0.8 + 0.4 * len(means)]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    columns: Sequence[Any] = above.subplots(1, 3)
    before, after = _input_and_output_titles(example, condition)
    show(columns[0], to_display(example.degraded), before)
    show(columns[1], to_display(example.restored), after)
    show(columns[2], to_display(example.clean), "truth")
    axes = below.subplots()
    dumbbells(axes, means, conditions.map(condition_label))
    scores = means[["psnr_input_db", "psnr_db"]].to_numpy()
    lowest, highest = SUMMARY_PSNR_DB
    axes.set_xlim(min(lowest, scores.min() - 4), max(highest, scores.max() + 4))
    axes.set(xlabel="PSNR, dB (mean over images)")
    name, images = means["benchmark"].iloc[0], means["images"].max()
    axes.set_title(f"{name}, {images} images, {source}", loc="left")
    return figure
