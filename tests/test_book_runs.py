"""The pages of executed notebooks: titles of their own, behind the chapters."""

from __future__ import annotations

from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook
from runs import runs, runs_table, write_runs
from toc import toc

from eamamba.config import load_settings

ROOT = Path(__file__).parents[1]
SETTINGS = load_settings(ROOT / "params.yaml", "laptop")


def test_no_two_runs_share_a_title_and_each_has_a_chapter() -> None:
    found = runs(SETTINGS)
    assert len({run.title for run in found}) == len({run.page for run in found}) == len(found)
    assert all((ROOT / "book" / f"{run.chapter}.md").is_file() for run in found)


def test_chapter_leads_to_chapter_and_the_runs_come_last() -> None:
    parts = yaml.safe_load(toc(SETTINGS))["parts"]
    *chapters, last = [page for part in parts for page in part["chapters"]]
    assert not any("sections" in page or "results/" in page["file"] for page in chapters)
    assert [page["file"] for page in last["sections"]] == [run.page for run in runs(SETTINGS)]


def test_a_run_is_called_after_its_subject_and_names_its_chapter(tmp_path: Path) -> None:
    cells = [new_markdown_cell("# Evaluation\n\nEvery image."), new_markdown_cell("## Scores")]
    for run in runs(SETTINGS):
        path = tmp_path / f"{run.notebook}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")
    write_runs(tmp_path, SETTINGS)
    first, second = nbformat.read(tmp_path / "derain" / "evaluate.ipynb", as_version=4).cells
    assert first.source.startswith("# Evaluation · rain\n\nEvery image.\n\n")
    assert "[](../../tasks/rain.md)" in first.source
    assert second.source == "## Scores"
    assert "[Evaluation](/results/derain/evaluate.ipynb)" in (tmp_path / "runs.md").read_text()


def test_the_list_of_runs_has_one_row_for_each_subject() -> None:
    table = runs_table(SETTINGS)
    assert table["Subject"].is_unique
    links = table.drop(columns=["Subject", "Chapter"]).ne("").to_numpy().sum()
    assert links == len(runs(SETTINGS))
