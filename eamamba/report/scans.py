"""Tables and figures of scan distances and effective receptive fields."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from eamamba.report.drawing import styled

Maps = Mapping[str, Mapping[str, np.ndarray]]
"""Row label -> column title -> map (H, W)."""


@styled
def neighbour_maps(maps: Maps) -> Figure:
    """Draw, for every pixel, the mean number of scan steps from its neighbours.

    Parameters
    ----------
    maps : mapping
        Row label -> column title -> map (H, W), at least 1; drawn on a logarithmic scale shared by
        all maps.
    """
    highest = max(field.max() for row in maps.values() for field in row.values())
    return _grid(maps, "steps from the neighbours, mean", norm=LogNorm(1, highest))


@styled
def receptive_fields(fields: Maps) -> Figure:
    """Draw effective receptive fields in rows and columns.

    Parameters
    ----------
    fields : mapping
        Row label -> column title -> map (H, W) in [0, 1]: the fourth root of the gradient, scaled
        to a maximum of 1.
    """
    return _grid(fields, "(|gradient| / largest)$^{1/4}$", vmin=0, vmax=1)


def _grid(maps: Maps, label: str, **scale: object) -> Figure:
    columns = max(len(row) for row in maps.values())
    figure = Figure(figsize=(7.5, 0.7 + 6.2 / columns * len(maps)))
    grid = figure.subplots(len(maps), columns, squeeze=False)
    for number, (axes_row, (name, row)) in enumerate(zip(grid, maps.items(), strict=True)):
        for axes, (title, field) in zip(axes_row, row.items(), strict=True):
            image = axes.imshow(field, cmap="viridis", **scale)
            axes.set(xticks=[], yticks=[])
            if number == 0:
                axes.set_title(title, loc="center", fontsize=9, fontweight="normal")
        axes_row[0].set_ylabel(name, fontsize=9)
    figure.colorbar(image, ax=grid, label=label)
    return figure


def neighbour_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Format the steps between neighbours for readers: the mean and, in brackets, the maximum.

    Parameters
    ----------
    measured : DataFrame
        pattern, scan, size (side in pixels), mean_steps, most_steps.
    """
    cells = measured.assign(
        shown=[f"{row.mean_steps:.1f} ({row.most_steps:.0f})" for row in measured.itertuples()],
        column=[f"{size}×{size}" for size in measured["size"]],
    )
    return _pivot(cells, {"pattern": "Pattern", "scan": "Scan"})


def area_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Format high-contribution areas for readers, in percent of the image.

    Parameters
    ----------
    measured : DataFrame
        network, state, position, share (of all contributions), area_ratio (of the image).
    """
    cells = measured.assign(
        shown=[f"{100 * ratio:.2f}" for ratio in measured["area_ratio"]],
        column=[f"Area for {100 * share:.0f} %, % of the image" for share in measured["share"]],
    )
    return _pivot(cells, {"network": "Network", "state": "Weights", "position": "Output pixel"})


def _pivot(cells: pd.DataFrame, rows: Mapping[str, str]) -> pd.DataFrame:
    """Spread ``shown`` over one column per ``column``, in order of appearance."""
    table = cells.set_index([*rows, "column"])["shown"].unstack(sort=False)
    return table.rename_axis(columns=None).reset_index().rename(columns=rows)
