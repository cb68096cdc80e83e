"""Under each figure and table stands where it comes from, without a clock."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from history import Commit, History, read_history
from provenance import Results, _write_csv

ROOT = Path(__file__).parents[1]
TEXTS = re.compile(r"(section|gallery|clone|_finding|_answer)\.md$")
SHOWN = sorted(
    {
        place
        for page in [*ROOT.glob("book/*.md"), *ROOT.glob("book/tasks/*.md")]
        for place in re.findall(
            r"^```\{(?:figure|include)\} /?results/(\S+)", page.read_text(), re.M
        )
        if not TEXTS.search(place)
    }
    | {
        place.replace("TASK", "derain")
        for place in re.findall(
            r"^```\{(?:figure|include)\} /results/(\S+)",
            (ROOT / "book/_templates/task.md").read_text(),
            re.M,
        )
    }
)


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(ROOT, "laptop")


def said(parts: list[nodes.Node]) -> str:
    return " · ".join(part.astext() for part in parts)


@pytest.mark.parametrize("place", SHOWN)
def test_the_origin_of_all_that_is_shown_is_known(place: str, results: Results) -> None:
    assert results.line(place), f"{place}: say in SOURCES of provenance.py what it is made from"


def test_a_stage_is_named_with_its_notebook_and_its_data(results: Results) -> None:
    line = results.line("derain/comparison.jpg", {"results/derain/evaluate"})
    assert said(line).startswith("Stage evaluate@derain of the profile laptop")
    assert said(line).endswith("executed notebook · metrics.json · per_image.csv")
    targets = [link["reftarget"] for part in line for link in part.findall() if "reftarget" in link]
    assert targets[0] == "/results/derain/evaluate"
    assert all((ROOT / "book" / target[1:]).is_file() for target in targets[1:])


def test_a_table_of_the_book_names_its_files(results: Results) -> None:
    assert "metrics.json · per_image.csv" in said(results.line("derain/all_scores.md"))
    assert said(results.line("glance.png")).startswith("results/laptop/*/metrics.json")
    assert "measured on NVIDIA" in said(results.line("benchmarks/scan_gpu.md"))
    assert "· complexity.csv · paper/complexity.csv" in f"· {said(results.line('profiling/x.md'))}"
    assert results.line("unknown.md") == []


def test_commits_are_linked_where_they_can_be_seen() -> None:
    known = Results(ROOT, "laptop", "https://github.com/someone/eamamba")
    known.history = History(
        {"results/laptop/derain/metrics.json": Commit("0" * 10, "2026-01-02")}, set()
    )
    line = known.line("derain/comparison.jpg")
    addresses = [link["refuri"] for part in line for link in part.findall() if "refuri" in link]
    assert addresses == ["https://github.com/someone/eamamba/commit/0000000000"]
    assert "commit 0000000000, 2026-01-02" in said(line)
    assert known.age() == "Results of commit 0000000000, 2026-01-02, profile laptop."


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository in which two files were committed, one after the other."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "results").mkdir()
    for name, day in (("old.csv", "2026-01-01"), ("é.csv", "2026-02-02")):
        (tmp_path / "results" / name).write_text("x\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "-m", name, day=day)
    return tmp_path


def git(folder: Path, *words: str, day: str = "2026-01-01") -> None:
    who = {
        f"GIT_{role}_{what}": "a@b"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    when = {f"GIT_{role}_DATE": f"{day}T12:00:00Z" for role in ("AUTHOR", "COMMITTER")}
    subprocess.run(
        ["git", *words], cwd=folder, check=True, env={"PATH": "/usr/bin:/bin"} | who | when
    )


def test_the_youngest_commit_counts(repository: Path) -> None:
    history = read_history(repository, "results")
    found = history.youngest(["results/old.csv", "results/é.csv"])
    assert found is not None
    assert found.date == "2026-02-02"
    assert len(found.digits) == 10
    assert history.youngest(["results/missing.csv"]) is None


def test_changes_that_are_not_committed_have_no_commit(repository: Path) -> None:
    (repository / "results" / "é.csv").write_text("y\n")
    history = read_history(repository, "results")
    assert history.youngest(["results/old.csv", "results/é.csv"]) is None
    assert history.youngest(["results/old.csv"]) is not None


def test_a_shallow_clone_and_an_archive_know_nothing(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    assert read_history(tmp_path / "shallow", "results").commits == {}
    assert read_history(Path("/"), "results").commits == {}


def test_a_table_can_be_taken_along(tmp_path: Path) -> None:
    text = "=====  ====\nName   dB\n=====  ====\na, b   1.50\n=====  ====\n"
    (table,) = publish_doctree(text).findall(nodes.table)
    _write_csv(table, tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert read.to_dict("list") == {"Name": ["a, b"], "dB": ["1.50"]}
