"""What the chapters on tasks include: how each opens, its section, and numbers for its text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from runs import TASK_RUNS
from task_charts import gain_by_input

from eamamba.config import Settings, TaskSettings
from eamamba.report.drawing import save
from eamamba.report.scores import (
    Metrics,
    degradation_labels,
    first_benchmark,
    format_with_sign,
    glance,
    middle,
    protocol_label,
    score_table,
    scores,
)
from eamamba.report.tables import markdown

PACKAGE_PROFILE = "pretrained"
TEMPLATES = Path("book") / "_templates"
"""Sections in which TASK, TITLE, PROFILE and others are placeholders."""
NOT_PRINTED = "The paper prints no scores for this task."


def write_tasks(root: Path, target: Path, settings: Settings) -> dict[str, str]:
    """Write the openings of the chapters and the sections of the tasks; return their numbers.

    Parameters
    ----------
    root : Path
        The project's folder.
    target : Path
        The book's copy of the results.
    settings : Settings
    """
    figures: dict[str, str] = {}
    chapters: dict[str, list[TaskSettings]] = {}
    for task, chosen in settings.tasks.items():
        others = [] if chosen.chapter is None else chapters.setdefault(chosen.chapter, [])
        written = _write_task(root, target, chosen, first=not others)
        others.append(chosen)
        figures |= {f"{task}_{name}": value for name, value in written.items()}
    (target / "chapters").mkdir()
    for chapter, tasks in chapters.items():
        parts = [*(_result(target / task.task, task) for task in tasks), ""]
        parts.append(_fill(root, "comparison.md", tasks[0]))
        (target / "chapters" / f"{chapter}.md").write_text("\n".join(parts), encoding="utf-8")
    return figures


def read_metrics(folder: Path) -> Metrics:
    """Return the scores in a folder of results."""
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _result(folder: Path, settings: TaskSettings) -> str:
    """Say in an item of a list what restoring does to the photographs, and to the worst of them."""
    row = glance({settings.task: read_metrics(folder)}, {settings.task: settings.title}).iloc[0]
    images = pd.read_csv(folder / "per_image.csv")
    images = images[images["benchmark"] == row["benchmark"]]
    if row["condition"] != "combined":
        images = images[images["condition"] == row["condition"]]
    gain = (images["psnr_db"] - images["psnr_input_db"]).set_axis(images.index)
    best, worst = images.loc[gain.idxmax()], images.loc[gain.idxmin()]
    label = degradation_labels(row.to_frame().T).iloc[0]
    harmed = f"{row['worse']} of {row['images']} got worse" if row["worse"] else "none got worse"
    return (
        f"- **{label[0].upper()}{label[1:]}.** Mean PSNR of {row['images']} photographs: "
        f"{_change(row)}. At best {_change(best)}, at worst {_change(worst)}; {harmed}."
    )


def _change(row: pd.Series) -> str:
    gain = format_with_sign(row["psnr_db"] - row["psnr_input_db"])
    return f"{row['psnr_input_db']:.1f} → {row['psnr_db']:.1f} dB ({gain})"


def _write_task(root: Path, target: Path, settings: TaskSettings, *, first: bool) -> dict[str, str]:
    """Write the section and the tables of a task; return its numbers for the text.

    Of the first task of a chapter, the comparison is in the opening.
    """
    folder, task = target / settings.task, settings.task
    metrics = read_metrics(folder)
    measured = _add_package_scores(root, settings, metrics)
    paper = pd.read_csv(root / "data" / "paper" / "paper_results.csv")
    here = paper["benchmark"].isin({name for found in measured.values() for name in found})
    ours = score_table(measured, paper[here], task)
    (folder / "all_scores.md").write_text(markdown(ours), encoding="utf-8")
    others = paper[~here & (paper["task"] == task)]
    if not others.empty:
        table = markdown(score_table({}, others, task))
        (folder / "reported.md").write_text(table, encoding="utf-8")
    reported = NOT_PRINTED if others.empty else _fill(root, "reported.md", settings)
    words = {"COMPARISON": "" if first else _fill(root, "comparison.md", settings)}
    words |= {"REPORTED": reported, "ELSEWHERE": _elsewhere(root, settings.task, measured)}
    text = _fill(root, "task.md", settings, words)
    images = pd.read_csv(folder / "per_image.csv")
    save(
        gain_by_input(images, protocol_label(settings.evaluation.protocol)),
        folder / "gain_by_input.png",
    )
    (folder / "section.md").write_text(text, encoding="utf-8")
    low, high = settings.data.sigma_255
    figures = {"iterations": f"{settings.training.iterations:,}".replace(",", "\u202f")}
    return figures | {"sigma_low": f"{low:g}", "sigma_high": f"{high:g}"} | _score_figures(metrics)


def _elsewhere(root: Path, task: str, measured: Mapping[str, Metrics]) -> str:
    """Name the published sets that the weights in the package were scored on, on another page."""
    file = root / "results" / PACKAGE_PROFILE / "real_pairs" / "summary.csv"
    table = pd.read_csv(file) if file.is_file() else pd.DataFrame({"task": [], "benchmark": []})
    names = table.loc[table["task"] == task, "benchmark"].unique()
    if not len(names) or set(names) & {name for found in measured.values() for name in found}:
        return ""
    sets = ", ".join(name.replace("_", " ") for name in names)
    return f"[](/real_pairs.md) has the scores of the weights in the package on {sets}."


def _fill(
    root: Path, template: str, settings: TaskSettings, words: Mapping[str, str] | None = None
) -> str:
    """Replace the placeholders of a template; ``words`` may hold some themselves."""
    text = (root / TEMPLATES / template).read_text(encoding="utf-8")
    known = {
        "RUNS": " · ".join(
            f"[{kind.lower()}](/results/{settings.task}/{run}.ipynb)"
            for run, kind in TASK_RUNS.items()
        ),
        "PROTOCOL": protocol_label(settings.evaluation.protocol),
        "TASK": settings.task,
        "TITLE": settings.title,
        "PROFILE": settings.profile,
    }
    for word, value in {**(words or {}), **known}.items():
        text = text.replace(word, value)
    return text


def _add_package_scores(root: Path, settings: TaskSettings, own: Metrics) -> dict[str, Metrics]:
    """Return the scores of the profile's weights and of those in the package."""
    measured = {f"{settings.profile} profile": own}
    package = root / "results" / PACKAGE_PROFILE / settings.task
    if settings.profile != PACKAGE_PROFILE and (package / "metrics.json").is_file():
        # Profiles crop the bundled photographs differently: only benchmarks are comparable.
        theirs = {name: part for name, part in read_metrics(package).items() if name not in own}
        if theirs:
            measured["weights in the package"] = theirs
    return measured


def _score_figures(metrics: Metrics) -> dict[str, str]:
    """Return the mean scores of the first benchmark, by condition and for `middle`."""
    table = first_benchmark(scores(metrics))
    chosen = middle(table["condition"].tolist())
    figures = {"images": str(table["images"].max())}
    for row in table.itertuples():
        means = {
            "before": f"{row.psnr_input_db:.2f}",
            "after": f"{row.psnr_db:.2f}",
            "gain": format_with_sign(row.gain_db),
        }
        figures |= {f"{name}_{row.condition}": value for name, value in means.items()}
        if row.condition == chosen:
            figures |= means
    return figures
