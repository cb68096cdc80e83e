"""Steps of a scan between neighbours: values counted by hand, and what all-around scanning adds."""

from __future__ import annotations

import numpy as np
import pytest

from eamamba.network.scan_distance import NEIGHBOURS, neighbour_steps, there_and_back
from eamamba.network.scan_order import SCAN_ORDERS, scan_order

INSIDE = np.s_[:, 1:-1, 1:-1]


def test_a_row_lies_between_a_pixel_and_the_one_below() -> None:
    steps = neighbour_steps(there_and_back("raster", 6, 10), 6, 10)
    expected = [11, 10, 9, 1, 1, 9, 10, 11]
    assert steps[:, 3, 4].tolist() == expected
    assert (steps[INSIDE] == np.reshape(expected, (8, 1, 1))).all()


def test_a_path_counts_only_for_what_it_visits_first() -> None:
    path = there_and_back("raster", 3, 3)[:1]
    assert neighbour_steps(path, 3, 3)[:, 1, 1].tolist() == [4, 3, 2, 1, *[np.inf] * 4]


def test_the_neighbours_of_a_corner_that_exist_are_counted() -> None:
    steps = neighbour_steps(there_and_back("raster", 3, 4), 3, 4)
    found = dict(zip(NEIGHBOURS, steps[:, 0, 0].tolist(), strict=True))
    assert {place: n for place, n in found.items() if not np.isnan(n)} == {
        (0, 1): 1,
        (1, 0): 4,
        (1, 1): 5,
    }


@pytest.mark.parametrize("size", [(3, 3), (8, 8), (16, 24), (33, 8)])
def test_some_head_of_the_all_around_scan_comes_straight_from_every_neighbour(size: tuple) -> None:
    steps = neighbour_steps(scan_order("diagonal", 8, *size).numpy(), *size)
    assert (steps[~np.isnan(steps)] == 1).all()
    assert not np.isnan(steps[INSIDE]).any()


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_raster_heads_reach_diagonal_neighbours_after_a_row_or_a_column(size: tuple) -> None:
    steps = neighbour_steps(scan_order("raster", 8, *size).numpy(), *size)[INSIDE]
    straight = np.array([0 in place for place in NEIGHBOURS])
    assert (steps[straight] == 1).all()
    assert (steps[~straight] == min(size) - 1).all()


@pytest.mark.parametrize("pattern", SCAN_ORDERS)
def test_more_heads_never_lengthen_the_way(pattern: str) -> None:
    few, many = (neighbour_steps(scan_order(pattern, n, 9, 12).numpy(), 9, 12) for n in (2, 8))
    inside_image = ~np.isnan(few)
    assert (many[inside_image] <= few[inside_image]).all()
    assert np.isfinite(many[inside_image]).all()
