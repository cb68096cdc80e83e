"""The bootstrap interval of a mean gain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eamamba.evaluation.statistics import paired_interval


def test_the_interval_of_normal_differences_is_the_textbook_one() -> None:
    gains = np.random.default_rng(0).normal(1.5, 0.4, size=400)
    low, high = paired_interval(gains.tolist())
    half = 1.96 * gains.std(ddof=1) / 20
    assert low == pytest.approx(gains.mean() - half, abs=0.004)
    assert high == pytest.approx(gains.mean() + half, abs=0.004)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        low, high = paired_interval(rng.normal(0, 1, size=40).tolist())
        covered += low <= 0 <= high
    assert 87 <= covered <= 99


def test_the_same_numbers_give_the_same_interval_whatever_their_offset() -> None:
    gains = [0.1, -0.2, 0.4, 0.3, 1.0]
    low, high = paired_interval(gains)
    assert (low, high) == paired_interval(gains)
    assert paired_interval([gain + 2 for gain in gains]) == pytest.approx((low + 2, high + 2))
    assert paired_interval([0.3] * 5) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize("gains", [[], [1.0], [1.0, math.inf]])
def test_no_interval_without_two_finite_numbers(gains: list[float]) -> None:
    assert all(math.isnan(end) for end in paired_interval(gains))
