"""Curves and bars: training, scores, computation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from eamamba.report.drawing import FLOP_NOTE, INPUT, OURS, styled
from eamamba.report.tables import mean_scores


@styled
def training_curve(training: pd.DataFrame) -> Figure:
    """Draw loss and learning rate over the iterations, the patch sizes marked.

    Parameters
    ----------
    training : DataFrame
        ``training.csv``: iteration, loss (L1, images in [0, 1]), learning_rate, patch, batch.
    """
    figure = Figure(figsize=(7.5, 4.4))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot(training["iteration"], training["loss"], marker="." if len(training) < 60 else "")
    top.set(ylabel="L1 loss, images in [0, 1]", yscale="log")
    top.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    top.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    bottom.plot(training["iteration"], training["learning_rate"], color="#D55E00")
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
def psnr_by_noise(per_image: pd.DataFrame) -> Figure:
    """Draw the mean PSNR before and after denoising, for each benchmark and noise level.

    Parameters
    ----------
    per_image : DataFrame
        ``per_image.csv``: benchmark, image, sigma_255, psnr_input_db, psnr_db.
    """
    scores = mean_scores(per_image)
    names = list(scores["benchmark"].unique())
    figure = Figure(figsize=(7.5, 0.9 + 1.7 * len(names)))
    rows = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name in zip(rows, names, strict=True):
        part = scores[scores["benchmark"] == name].reset_index(drop=True)
        dumbbells(axes, part)
        axes.set(title=f"{name}, {part['images'].iloc[0]} images")
    rows[-1].set_xlabel("PSNR, dB (RGB, mean over images)")
    return figure


def dumbbells(axes: Axes, scores: pd.DataFrame) -> None:
    """Draw one line per noise level from the input's to the restored PSNR."""
    height = np.arange(len(scores))[::-1]
    before, after = scores["psnr_input_db"], scores["psnr_db"]
    axes.hlines(height, before, after, color="#BBBBBB", linewidth=3)
    axes.plot(before, height, "o", color=INPUT, markersize=8, label="noisy input")
    axes.plot(after, height, "o", color=OURS, markersize=8, label="restored")
    for *ends, y in zip(before, after, height, strict=True):
        for value, shift, side in ((min(ends), -8, "right"), (max(ends), 8, "left")):
            axes.annotate(
                f"{value:.2f}", (value, y), (shift, 0), textcoords="offset points",
                ha=side, va="center", fontsize=9,
            )  # fmt: skip
    axes.set_yticks(height, [f"σ = {sigma:g}" for sigma in scores["sigma_255"]])
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.25), ncols=2)


@styled
def gain_per_image(per_image: pd.DataFrame) -> Figure:
    """Draw the PSNR gain of every image, by noise level: the spread behind the means."""
    data = per_image.assign(
        gain_db=per_image["psnr_db"] - per_image["psnr_input_db"],
        level=[f"{sigma:g}" for sigma in per_image["sigma_255"]],
    )
    figure = Figure(figsize=(7.5, 3.4))
    axes = figure.subplots()
    benchmarks = data["benchmark"].nunique()
    columns: dict[str, Any] = {"x": "level", "y": "gain_db", "hue": "benchmark", "ax": axes}
    seaborn.stripplot(data, **columns, dodge=True, jitter=False, alpha=0.6, size=6)
    seaborn.pointplot(
        data, **columns, dodge=0.8 * (1 - 1 / benchmarks), errorbar=None, linestyle="none",
        marker="_", markersize=22, markeredgewidth=2, legend=False,
    )  # fmt: skip
    axes.set(
        xlabel="noise level σ, 8-bit units",
        ylabel="PSNR gain, dB",
        title="Gain of every image (dot) and mean (dash)",
    )
    axes.legend(title=None, loc="best")
    return figure


@styled
def complexity_by_size(sizes: pd.DataFrame) -> Figure:
    """Draw GFLOPs against the side of a square image, both axes logarithmic.

    Parameters
    ----------
    sizes : DataFrame
        model, size (pixels), gflops; one multiply-add counts as one.
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
