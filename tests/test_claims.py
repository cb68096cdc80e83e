"""What the book says of the paper's claims is what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from claims import (
    IN_KIND,
    NOT_CONFIRMED,
    UNDECIDED,
    Evidence,
    Files,
    _compare_variants,
    _size,
    claims_table,
    evidence,
    read_claims,
)

from eamamba.config import load_settings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "laptop"


@pytest.fixture(scope="module")
def found() -> dict[str, Evidence]:
    variants = load_settings(ROOT / "params.yaml", "laptop").ablations
    scores = {
        name: json.loads((RESULTS / "ablations" / name / "metrics.json").read_text())
        for name in variants
    }
    return evidence(Files(ROOT / "data" / "paper", RESULTS, scores))


def test_every_claim_has_evidence_of_its_own(found: dict[str, Evidence]) -> None:
    assert list(found) == list(read_claims(ROOT))


@pytest.mark.parametrize("name", list(read_claims(ROOT)))
def test_the_state_of_a_claim_is_that_of_its_evidence(
    name: str, found: dict[str, Evidence]
) -> None:
    claim = read_claims(ROOT)[name]
    assert claim["state"] == found[name].state, "change the state in book/claims.yaml"
    assert (ROOT / "book" / f"{claim['page']}.md").is_file()


def test_the_table_has_the_numbers_of_both(found: dict[str, Evidence]) -> None:
    table = claims_table(read_claims(ROOT), found).set_index("Claim")
    row = table.loc[read_claims(ROOT)["size"]["claim"]]
    assert row["Paper"] == "25.3 M, 137 GFLOPs"
    assert row["Here"] == "[25.32 M, 137.3 GFLOPs](cost.md)"


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ([25.1, 25.0, 25.2], UNDECIDED),  # zero lies in the interval
        ([23.0, 23.1, 23.2], IN_KIND),  # clearly worse, as in the paper
        ([27.0, 27.1, 27.2], NOT_CONFIRMED),
    ],
)
def test_a_difference_decides_only_beyond_chance(
    other: list[float], state: str, tmp_path: Path
) -> None:
    def metrics(values: list[float]) -> dict[str, dict[str, dict[str, float]]]:
        seeds = {f"seed {seed}": {"psnr_db": value} for seed, value in enumerate(values)}
        return {"256 pixels": seeds}

    variants = {"baseline_2dssm": metrics([25.1, 25.2, 25.3]), "multi_head": metrics(other)}
    files = Files(ROOT / "data" / "paper", tmp_path, variants)
    assert _compare_variants(files, "baseline_2dssm", "multi_head").state == state


def test_another_count_is_noticed(tmp_path: Path) -> None:
    counted = pd.read_csv(RESULTS / "profiling" / "complexity.csv")
    counted.loc[counted["network"] == "eamamba", "gflops"] += 1
    (tmp_path / "profiling").mkdir()
    counted.to_csv(tmp_path / "profiling" / "complexity.csv", index=False)
    assert _size(Files(ROOT / "data" / "paper", tmp_path, {})).state == NOT_CONFIRMED
