"""Charts of training, scores and computation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from eamamba.report.drawing import FLOP_NOTE, INPUT, MARK, OURS, styled
from eamamba.report.scores import condition_label, degradation_labels


@styled
def training_curve(training: pd.DataFrame) -> Figure:
    """Draw loss and learning rate over the iterations, with the patch sizes marked.

    Parameters
    ----------
    training : DataFrame
        ``training.csv``: iteration, loss (L1, images in [0, 1]), learning_rate, patch, batch.
    """
    figure = Figure(figsize=(7.5, 4.4))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot(training["iteration"], training["loss"], marker="." if len(training) < 60 else "")
    top.set(ylabel="L1 loss, images in [0, 1]", yscale="log")
    top.yaxis.set_minor_locator(LogLocator(subs=(1.5, 2, 3, 4, 5, 6, 8)))
    for set_formatter in (top.yaxis.set_minor_formatter, top.yaxis.set_major_formatter):
        set_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bottom.plot(training["iteration"], training["learning_rate"], color=MARK)
    bottom.set(xlabel="iteration", ylabel="learning rate", ylim=(0, None))
    start = 0.0
    for (patch, batch), stage in training.groupby(["patch", "batch"], sort=False):
        for axes in (top, bottom):
            axes.axvline(start, color="#BBBBBB", linewidth=0.8, linestyle=":")
        top.annotate(
            f"{batch} × {patch}² pixels",
            (start, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", va="bottom", fontsize=8.5, color="#555555",
        )  # fmt: skip
        start = stage["iteration"].max()
    return figure


@styled
def psnr_by_condition(means: pd.DataFrame) -> Figure:
    """Draw the mean PSNR of input and output for each benchmark and condition.

    Parameters
    ----------
    means : DataFrame
        As returned by `scores`.
    """
    names = list(means["benchmark"].unique())
    heights = [0.55 + 0.35 * (means["benchmark"] == name).sum() for name in names]
    figure = Figure(figsize=(7.5, 0.6 + sum(heights) + 0.4 * len(names)))
    grid = figure.subplots(len(names), 1, squeeze=False, sharex=True, height_ratios=heights)
    for axes, name in zip(grid[:, 0], names, strict=True):
        part = means[means["benchmark"] == name]
        dumbbells(axes, part, part["condition"].map(condition_label))
        axes.set_title(f"{name}, {part['images'].max()} images", loc="left")
    grid[-1, 0].set_xlabel("PSNR, dB (mean over images)")
    return figure


@styled
def gains(rows: pd.DataFrame, source: str) -> Figure:
    """Draw the mean PSNR of input and output for every task.

    Parameters
    ----------
    rows : DataFrame
        As returned by `glance`.
    source : str
        What was run, such as "laptop profile".
    """
    figure = Figure(figsize=(7.5, 1.2 + 0.36 * len(rows)))
    axes = figure.subplots()
    dumbbells(axes, rows, degradation_labels(rows))
    axes.set_title(f"{rows['benchmark'].iloc[0]}, {source}", loc="left")
    axes.set_xlabel("PSNR, dB (mean over images, protocol of each task)")
    return figure


def dumbbells(axes: Axes, means: pd.DataFrame, labels: Iterable[str]) -> None:
    """Draw one labelled line per row, from the PSNR of the input to the restored PSNR."""
    height = np.arange(len(means))[::-1]
    before, after = means["psnr_input_db"], means["psnr_db"]
    axes.hlines(height, before, after, color="#BBBBBB", linewidth=3)
    axes.plot(before, height, "o", color=INPUT, markersize=8, label="input")
    axes.plot(after, height, "o", color=OURS, markersize=8, label="restored")
    for *ends, y in zip(before, after, height, strict=True):
        for value, shift, side in ((min(ends), -8, "right"), (max(ends), 8, "left")):
            axes.annotate(
                f"{value:.2f}", (value, y), (shift, 0), textcoords="offset points",
                ha=side, va="center", fontsize=9,
            )  # fmt: skip
    axes.set_yticks(height, list(labels))
    axes.set_ylim(-0.6, len(means) - 0.4)
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


@styled
def gain_per_image(per_image: pd.DataFrame) -> Figure:
    """Draw the PSNR gain of every image by condition, to show the spread behind the means."""
    import seaborn  # here, because loading it takes longer than most notebooks

    data = per_image.assign(
        gain_db=per_image["psnr_db"] - per_image["psnr_input_db"],
        condition=per_image["condition"].map(condition_label),
    )
    figure = Figure(figsize=(7.5, 3.4))
    axes = figure.subplots()
    benchmarks = data["benchmark"].nunique()
    columns: dict[str, Any] = {"x": "condition", "y": "gain_db", "hue": "benchmark", "ax": axes}
    seaborn.stripplot(data, **columns, dodge=True, jitter=False, alpha=0.6, size=6)
    seaborn.pointplot(
        data, **columns, dodge=0.8 * (1 - 1 / benchmarks), errorbar=None, linestyle="none",
        marker="_", markersize=22, markeredgewidth=2, legend=False,
    )  # fmt: skip
    axes.axhline(0, color="#BBBBBB", linewidth=0.8)
    axes.set(xlabel="", ylabel="PSNR gain, dB", title="Gain of every image (dot) and mean (dash)")
    axes.legend(title=None, loc="best")
    return figure


@styled
def complexity_by_size(sizes: pd.DataFrame) -> Figure:
    """Draw GFLOPs against the side of a square image, on logarithmic axes.

    Parameters
    ----------
    sizes : DataFrame
        model, size (pixels), gflops (one multiply-add = 1 FLOP).
    """
    figure = Figure(figsize=(7.5, 3.8))
    axes = figure.subplots()
    for name, part in sizes.groupby("model", sort=False):
        axes.plot(part["size"], part["gflops"], marker="o", label=name)
    ticks = sorted(sizes["size"].unique())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{size}²" for size in ticks])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel="image size, pixels", ylabel="GFLOPs", title=f"Computation ({FLOP_NOTE})")
    axes.legend()
    return figure


@styled
def complexity_by_kind(kinds: pd.DataFrame) -> Figure:
    """Draw where the computation goes, one stacked bar per model.

    Parameters
    ----------
    kinds : DataFrame
        One row per model, named by the index; one column of GFLOPs per kind of work.
    """
    table = kinds.loc[:, (kinds > 0).any()]
    figure = Figure(figsize=(7.5, 1.5 + 0.55 * len(table)))
    axes = figure.subplots()
    left = np.zeros(len(table))
    height = np.arange(len(table))[::-1]
    for kind in table.columns:
        axes.barh(height, table[kind], left=left, label=kind, height=0.6)
        left = left + table[kind].to_numpy()
    for y, total in zip(height, left, strict=True):
        axes.annotate(f"{total:.1f}", (total, y), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(height, table.index)
    axes.set(xlabel=f"GFLOPs ({FLOP_NOTE})", title="Where the computation goes")
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    figure.legend(loc="outside lower center", ncols=4)
    return figure
