"""The executed notebooks of the pipeline as pages: their titles, their chapters and their list."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd

from eamamba.config import Settings
from eamamba.report.tables import markdown

TASK_RUNS = {
    "data": "Data",
    "train": "Training",
    "evaluate": "Evaluation",
    "receptive_field": "Receptive field",
}
"""Notebook of a task -> the title of its page."""


@dataclass(frozen=True)
class Run:
    """An executed notebook in the results of a profile.

    Attributes
    ----------
    notebook : str
        Its path in the results, without the suffix, such as ``derain/evaluate``.
    kind : str
        Kind of run, such as ``Evaluation``.
    subject : str
        Subject of the run, such as ``rain``.
    chapter : str
        The page that shows its results, without the suffix, such as ``tasks/rain``.
    """

    notebook: str
    kind: str
    subject: str
    chapter: str

    @property
    def page(self) -> str:
        """The page in the book, without the suffix."""
        return f"results/{self.notebook}"

    @property
    def title(self) -> str:
        """The heading of the page, which is unique."""
        return f"{self.kind} · {self.subject}"


def runs(settings: Settings) -> list[Run]:
    """Return the executed notebooks of all tasks, variants and other experiments."""
    found = [
        Run(f"{name}/{notebook}", kind, task.title, f"tasks/{task.chapter}")
        for name, task in settings.tasks.items()
        if task.chapter is not None
        for notebook, kind in TASK_RUNS.items()
    ]
    found += [
        Run(f"ablations/{name}/ablation", "Ablation", variant.title, "ablations")
        for name, variant in settings.ablations.items()
    ]
    return [
        *found,
        Run("ablation_fields/ablation_fields", "Ablation", "receptive fields", "ablations"),
        Run("photographs/photographs", "Data", "the photographs", "credits"),
        Run("pictures/pictures", "Pictures", "the same in every task", "before_after"),
        Run("profiling/profiling", "Cost", "parameters and FLOPs", "cost"),
        Run("protocols/protocols", "Protocols", "rounding and scores", "protocols"),
        Run("scan_orders/scan_orders", "Method", "scan orders", "method"),
    ]


def runs_table(settings: Settings) -> pd.DataFrame:
    """Link every run in one table: a row for each subject, a column for each step of a task."""
    rows: dict[str, dict[str, str]] = {}
    for run in runs(settings):
        row = rows.setdefault(run.subject, {"Subject": run.subject, "Chapter": ""})
        row["Chapter"] = f"[](/{run.chapter}.md)"
        column = run.kind if run.kind in TASK_RUNS.values() else "Experiment"
        row[column] = f"[{run.kind}](/{run.page}.ipynb)"
    columns = ["Subject", "Chapter", *TASK_RUNS.values(), "Experiment"]
    return pd.DataFrame(rows.values(), columns=columns).fillna("")


def write_runs(target: Path, settings: Settings) -> None:
    """Give every executed notebook in the book's copy of the results its own title.

    Parameters
    ----------
    target : Path
        The copy, in which the headings of the notebooks are replaced and ``runs.md`` is written.
    settings : Settings
    """
    (target / "runs.md").write_text(markdown(runs_table(settings)), encoding="utf-8")
    for run in runs(settings):
        path = target / f"{run.notebook}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        _, _, text = notebook.cells[0].source.partition("\n")
        chapter = os.path.relpath(f"{run.chapter}.md", Path(run.page).parent)
        behind = f"*An executed notebook, behind []({chapter}).*"
        notebook.cells[0].source = f"# {run.title}\n{text}\n\n{behind}"
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
