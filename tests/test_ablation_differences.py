"""What the chapter on the ablations says of scores that are known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_extensions"))
from ablations import answer, differences, finding

TITLES = {"own": "EAMamba", "other": "another", "worse": "a worse one"}


def scores_of(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        (variant, "64 pixels", f"seed {seed}", psnr)
        for variant, of_seeds in values.items()
        for seed, psnr in enumerate(of_seeds)
    ]
    return pd.DataFrame(rows, columns=["variant", "size", "seed", "psnr_db"])


def test_two_variants_have_the_interval_of_the_t_test() -> None:
    own, other = [25.0, 25.2, 25.1], [25.4, 25.3, 25.9]
    compared = differences(scores_of({"own": own, "other": other}), "own").set_index("variant")
    low, high = stats.ttest_ind(other, own).confidence_interval()
    assert compared.loc["other", "difference_db"] == pytest.approx((low + high) / 2)
    assert compared.loc["other", "half_width_db"] == pytest.approx((high - low) / 2)
    assert compared.loc["own", "difference_db"] == 0


def test_a_sentence_tells_effects_from_chance() -> None:
    measured = scores_of(
        {"own": [25.0, 25.2, 25.1], "other": [25.1, 25.2, 25.15], "worse": [24.0, 24.1, 24.2]}
    )
    text = finding(differences(measured, "own"), TITLES, list(TITLES), "own")
    assert "worse than EAMamba: *a worse one* (−1.00 ± 0.17 dB)" in text
    assert "no different from EAMamba, as far as these seeds can tell: *another*" in text
    assert "*EAMamba*" not in text


def test_a_single_seed_has_no_interval() -> None:
    compared = differences(scores_of({"own": [25.0], "other": [26.0]}), "own")
    assert np.isnan(compared["half_width_db"]).all()
    text = finding(compared, TITLES, ["own", "other"], "own")
    assert "as far as a single seed can tell: *another* (+1.00 dB)" in text


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ([24.0, 24.1, 24.2], "**At this scale: yes.** The difference is +1.00 ± 0.23 dB"),
        ([26.0, 26.1, 26.2], "**At this scale: no, it harms.** The difference is −1.00 ± 0.23 dB"),
        (
            [25.0, 25.1, 25.3],
            "**At this scale: these training runs cannot tell.** The difference is",
        ),
    ],
)
def test_the_answer_follows_from_the_interval(other: list[float], verdict: str) -> None:
    compared = differences(scores_of({"own": [25.0, 25.2, 25.1], "other": other}), "own")
    assert verdict in answer(compared, "other")
