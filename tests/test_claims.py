"""What the book says of the paper's claims is what the committed results say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from claims import (
    ABSENT,
    EXACTLY,
    IN_KIND,
    NOT_CONFIRMED,
    UNDECIDED,
    WHOLE_SETS,
    Evidence,
    Files,
    _compare_variants,
    _rivals,
    _size,
    benchmark_scores,
    evidence,
    read_claims,
    savings,
)
from claims_pages import OPEN, benchmarks_table, checks_table, claims_table, figures_table

from eamamba.config import load_settings
from eamamba.datasets import PUBLISHED

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "laptop"


@pytest.fixture(scope="module")
def files() -> Files:
    variants = load_settings(ROOT / "params.yaml", "laptop").ablations
    scores = {
        name: json.loads((RESULTS / "ablations" / name / "metrics.json").read_text())
        for name in variants
    }
    return Files(ROOT / "data" / "paper", RESULTS, scores)


@pytest.fixture(scope="module")
def found(files: Files) -> dict[str, Evidence]:
    return evidence(files)


def test_every_claim_has_evidence_of_its_own(found: dict[str, Evidence]) -> None:
    assert list(found) == list(read_claims(ROOT))


@pytest.mark.parametrize("name", list(read_claims(ROOT)))
def test_the_state_of_a_claim_is_that_of_its_evidence(
    name: str, found: dict[str, Evidence]
) -> None:
    claim = read_claims(ROOT)[name]
    assert claim["state"] == found[name].state, "change the state in book/claims.yaml"
    assert (ROOT / "book" / f"{claim['page']}.md").is_file()
    assert (ROOT / claim["file"].format(profile="laptop")).is_file()
    words = claim["command"].split()
    if words[:3] == ["dvc", "repro", "-fs"]:
        locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        assert words[3:] == claim["stages"]
        assert set(claim["stages"]) <= set(locked)


def test_the_table_has_the_numbers_of_both(found: dict[str, Evidence]) -> None:
    row = claims_table(read_claims(ROOT), found).iloc[0]
    assert row["Claim"].startswith("**Size.** EAMamba has")
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


def test_savings_are_those_of_the_abstract(files: Files) -> None:
    table = savings(files)
    assert table["ours_percent"].round().tolist() == [40, 52, 89]
    assert _rivals(files).paper == "31–89 % less"


def test_another_count_is_noticed(tmp_path: Path) -> None:
    counted = pd.read_csv(RESULTS / "profiling" / "complexity.csv")
    counted.loc[counted["network"] == "eamamba", "gflops"] += 20
    (tmp_path / "profiling").mkdir()
    counted.to_csv(tmp_path / "profiling" / "complexity.csv", index=False)
    files = Files(ROOT / "data" / "paper", tmp_path, {})
    assert _size(files).state == _rivals(files).state == NOT_CONFIRMED


def test_only_whole_published_sets_are_set_beside_the_paper(files: Files) -> None:
    scores = benchmark_scores(files)
    assert set(scores["benchmark"]) == set(WHOLE_SETS)
    for row in scores.itertuples():
        assert row.images == PUBLISHED[row.benchmark].expected("benchmark", "")
    row = benchmarks_table(scores.head(1)).iloc[0]
    assert row["Test set"] == "CBSD68 (68 images)"
    difference = float(row["Restored here, dB"]) - float(row["Paper, dB"])
    assert float(row["Difference, dB"].replace("−", "-")) == pytest.approx(difference, abs=0.011)


def test_every_printed_figure_has_a_row(files: Files) -> None:
    paper = {name: pd.read_csv(ROOT / "data" / "paper" / f"{name}.csv") for name in (
        "paper_results", "ablations", "complexity")}  # fmt: skip
    reported = paper["complexity"][paper["complexity"]["source"] == "reported"]
    printed = reported[["params_m", "gflops"]].notna().sum().sum() + len(paper["ablations"])
    printed += paper["paper_results"][["psnr_db", "ssim"]].notna().sum().sum()
    titles = {name: task.title for name, task in load_settings(ROOT / "params.yaml").tasks.items()}
    table = figures_table(files, titles)
    assert len(table) == printed
    assert table["Figure"].is_unique
    counts = table["State"].value_counts()
    assert counts[EXACTLY] == 4
    assert counts[IN_KIND] == len(benchmark_scores(files))
    assert table.loc[table["State"] == OPEN, "Here"].eq("–").all()
    assert ABSENT.startswith(OPEN)
    assert UNDECIDED.startswith(OPEN)


def test_checks_have_costs_where_all_stages_were_measured(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.csv").write_text("x\n")
    costs = pd.DataFrame(
        {"cpu_seconds": [90, 30], "peak_memory_mib": [1000, 500], "written_mib": [1, 2]},
        index=["a", "b"],
    )
    common = {"command": "dvc repro", "file": "{profile}/one.csv", "tolerance": "none"}
    claims = {
        name: common | {"title": name, "stages": stages}
        for name, stages in {"first": ["a", "b"], "second": ["a", "c"]}.items()
    }
    table = checks_table(claims, costs, tmp_path, "results").set_index("Claim")
    assert table.loc["first", "Takes"].split() == "2.0 min, 1.0 GB, writes 3.1 MB".split()
    assert table.loc["second", "Takes"] == "–"
    digest = (
        "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"  # of "x" and newline
    )
    assert table.loc["first", "SHA-256"] == f"`{digest[:12]}`"
