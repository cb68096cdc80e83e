"""The figure that only the chapters on tasks show."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from eamamba.report.drawing import MARK, styled
from eamamba.report.scores import condition_label


@styled
def gain_by_input(per_image: pd.DataFrame, protocol: str) -> Figure:
    """Draw the gain of every image against the quality of its input.

    Parameters
    ----------
    per_image : DataFrame
        ``per_image.csv``: benchmark, condition, psnr_input_db, psnr_db; one row per image.
    protocol : str
        As `protocol_label` names it, for the labels of the axes.
    """
    figure = Figure(figsize=(7.5, 3.4))
    axes = figure.subplots()
    groups = per_image.groupby(["benchmark", "condition"], sort=False)
    for (benchmark, condition), part in groups:
        gain = part["psnr_db"] - part["psnr_input_db"]
        label = condition_label(condition)
        if per_image["benchmark"].nunique() > 1:
            label = f"{benchmark}, {label}"
        axes.plot(part["psnr_input_db"], gain, "o", markersize=5, alpha=0.7, label=label)
    axes.axhline(0, color=MARK, linewidth=1)
    psnr = protocol.partition(" and ")[0]
    axes.set(xlabel=f"{psnr} of the input, dB", ylabel=f"gain in {psnr}, dB")
    if len(groups) > 1:
        axes.legend()
    return figure
