"""The page *Reproduced elsewhere* in a real browser."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from browser import ROOT, in_browser, visit, write_page
from compare_page import write_compare_page

from eamamba.config import load_settings

CHAPTER = ROOT / "book" / "reproduced.md"
RESULTS = ROOT / "results" / "laptop"


def committed(task: str) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((RESULTS / task / "metrics.json").read_text())
    return metrics


def as_dvc_shows(tasks: list[str], profile: str = "laptop") -> str:
    files = {f"results/{profile}/{task}/metrics.json": {"data": committed(task)} for task in tasks}
    return json.dumps({"": {"data": files}})


@pytest.fixture(scope="module", params=[1200, 390])
def seen(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Any]:
    """What the page says of good and bad texts, on a wide and on a narrow screen."""
    folder = tmp_path_factory.mktemp("site")
    address = write_page(CHAPTER, folder)
    settings = load_settings(ROOT / "params.yaml", "laptop")
    write_compare_page(ROOT, settings, folder / "_static" / "compare")
    other = copy.deepcopy(committed("derain"))
    other["held-out photographs"]["all"]["psnr_db"] += 0.25
    texts = [
        json.dumps(other),
        as_dvc_shows(["derain", "ablations/all_around"]),
        "no JSON",
        "{}",
        json.dumps({"unknown": 1}),
        as_dvc_shows(["derain"], profile="smoke"),
    ]
    (folder / "texts.json").write_text(json.dumps(texts))
    return visit("compare.mjs", address, request.param, folder / "texts.json")


@in_browser
def test_a_task_is_found_by_its_scores_and_the_difference_shown(seen: dict[str, Any]) -> None:
    state, score = seen["states"][0], committed("derain")["held-out photographs"]["all"]["psnr_db"]
    count = len(committed("derain")["held-out photographs"]["all"])
    assert state["said"].startswith(f"{count - 1} of {count} scores are the same as committed.")
    assert state["said"].endswith(
        "Largest deviation: 0.25 (derain, held-out photographs, all, psnr_db); "
        "of a mean PSNR: 0.25 dB."
    )
    (row,) = [row for row in state["rows"] if row[4] != "same"]
    assert row[:2] == ["derain", "held-out photographs, all, psnr_db"]
    assert [float(cell) for cell in row[2:]] == pytest.approx([score, score + 0.25, 0.25])
    assert seen["chosen"] == state
    assert seen["saved"].startswith(state["said"])
    assert f"| {' | '.join(row)} |" in seen["saved"]


@in_browser
def test_all_scores_are_compared_at_once(seen: dict[str, Any]) -> None:
    state = seen["states"][1]
    assert {row[0] for row in state["rows"]} == {"derain", "ablations/all_around"}
    count = len(state["rows"])
    assert state["said"] == f"{count} of {count} scores are the same as committed."


@in_browser
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (2, "This is no JSON"),
        (3, "There is no score in it"),
        (4, "choose the task"),
        (5, 'set "profile: laptop" in params.yaml'),
    ],
)
def test_other_texts_are_refused_in_one_line(seen: dict[str, Any], number: int, said: str) -> None:
    state = seen["states"][number]
    assert said in state["said"]
    assert state["wrong"]
    assert state["rows"] == []


@in_browser
def test_the_page_is_no_wider_than_the_window(seen: dict[str, Any]) -> None:
    assert all(state["overflow"] <= 0 for state in seen["states"])
