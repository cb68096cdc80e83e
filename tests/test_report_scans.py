"""Figures and tables of scans and receptive fields: every map in its place, on one scale."""

from __future__ import annotations

import numpy as np
import pandas as pd

from eamamba import report


def maps(highest: float) -> dict[str, dict[str, np.ndarray]]:
    return {
        row: {column: np.full((4, 4), highest / n) for n, column in enumerate("abc", start=1)}
        for row in ("first", "second")
    }


def test_maps_stand_in_rows_and_columns_on_one_scale() -> None:
    for draw, limits in ((report.neighbour_maps, (1, 60)), (report.receptive_fields, (0, 1))):
        figure = draw(maps(limits[1]))
        *panels, _ = figure.axes  # the last one is the colour bar
        assert [panel.get_title() for panel in panels] == ["a", "b", "c", "", "", ""]
        assert [panels[0].get_ylabel(), panels[3].get_ylabel()] == ["first", "second"]
        assert {panel.images[0].get_clim() for panel in panels} == {limits}


def test_sizes_become_columns_in_their_order() -> None:
    measured = pd.DataFrame(
        {
            "pattern": ["raster", "raster", "zorder", "zorder"],
            "scan": "eight heads",
            "size": [64, 256, 64, 256],
            "mean_steps": [31.76, 127.8, 8.41, 19.02],
            "most_steps": [63, 255, 65, 257],
        }
    )
    table = report.neighbour_table(measured)
    assert list(table) == ["Pattern", "Scan", "64×64", "256×256"]
    assert table.iloc[1].tolist() == ["zorder", "eight heads", "8.4 (65)", "19.0 (257)"]


def test_areas_are_percent_of_the_image() -> None:
    measured = pd.DataFrame(
        {
            "network": "EAMamba",
            "state": ["trained", "trained"],
            "position": "centre",
            "share": [0.2, 0.99],
            "area_ratio": [0.0105, 0.35],
        }
    )
    (row,) = report.area_table(measured).to_dict("records")
    assert row["Area for 20 %, % of the image"] == "1.05"
    assert row["Area for 99 %, % of the image"] == "35.00"
