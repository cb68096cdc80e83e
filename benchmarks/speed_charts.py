"""Charts for the book's chapter on speed, from the CSV files written by the benchmark scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from eamamba.report.drawing import INPUT, MARK, OURS, save, styled

_PASSES = {"forward": "forward", "forward_backward": "with backward"}
# what it is called and its colour -> the column that compares it with ours
_RIVALS = {("loop in Python", MARK): "scaled_loop_over_ours",
           ("chunked PyTorch", INPUT): "chunked_over_ours"}  # fmt: skip
_NETWORKS = {
    "paper": "the paper's network",
    "light": "light super-resolution",
    "nano": "a small U-Net",
}


def save_speed_charts(folder: Path, target: Path) -> None:
    """Save the chart of each benchmark whose CSV is there.

    Parameters
    ----------
    folder : Path
        ``results/benchmarks``.
    target : Path
        Folder for ``scan_rivals.png`` and ``growth.png``.
    """
    makers = {"scan_rivals": ("scan_cpu", scan_rivals), "growth": ("growth_cpu", growth)}
    for name, (source, draw) in makers.items():
        if (folder / f"{source}.csv").is_file():
            save(draw(pd.read_csv(folder / f"{source}.csv")), target / f"{name}.png")


@styled
def scan_rivals(scan_cpu: pd.DataFrame) -> Figure:
    """Draw the time of one scan on the CPU, by our kernel and by plain PyTorch, on one axis.

    Parameters
    ----------
    scan_cpu : DataFrame
        ``results/benchmarks/scan_cpu.csv``; the rows with the most threads are drawn.
    """
    compared = scan_cpu[scan_cpu["forward_chunked_over_ours"].notna()]
    compared = compared[compared["threads"] == compared["threads"].max()]
    rows = [(scan, name) for scan in compared["scan"] for name in _PASSES]
    height = np.arange(len(rows))[::-1]
    values = compared.set_index("scan")
    ours = np.array([values.loc[scan, f"{name}_ms"] for scan, name in rows])
    figure = Figure(figsize=(7.5, 1.3 + 0.4 * len(rows)))
    axes = figure.subplots()
    times = {("this project", OURS): ours}
    for rival, column in _RIVALS.items():
        factors = np.array([values.loc[scan, f"{name}_{column}"] for scan, name in rows])
        times[rival] = ours * factors
    axes.hlines(height, ours, np.max(list(times.values()), axis=0), color="#BBBBBB", linewidth=3)
    for (label, colour), milliseconds in times.items():
        axes.plot(milliseconds, height, "o", color=colour, markersize=8, label=label)
        for x, y in zip(milliseconds, height, strict=True):
            axes.annotate(f"{x:,.0f}", (x, y), (0, 7), textcoords="offset points", ha="center",
                          fontsize=8.5)  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_yticks(height, [f"{scan.replace('x', '×')}, {_PASSES[name]}" for scan, name in rows])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=f"milliseconds, {compared['threads'].max()} threads; less is better")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


@styled
def growth(growth_cpu: pd.DataFrame) -> Figure:
    """Draw the time of forward pass and training step against the size of the image.

    Parameters
    ----------
    growth_cpu : DataFrame
        ``results/benchmarks/growth_cpu.csv``.
    """
    kept = growth_cpu[growth_cpu["study"] == "pixels"]
    figure = Figure(figsize=(7.5, 3.8))
    axes = figure.subplots()
    sides = sorted(kept["side"].unique())
    for number, (network, part) in enumerate(kept.groupby("network", sort=False)):
        for training, times in part.groupby("training"):
            axes.plot(
                times["side"], times["seconds"], color=f"C{number}",
                linestyle="--" if training else "-", marker="s" if training else "o",
                label=f"{_NETWORKS[network]}, "
                f"{'training step' if training else 'forward'}",
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sides, [f"{side}²" for side in sides])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel="image, pixels", ylabel="seconds")
    axes.legend(fontsize=8.5)
    return figure
