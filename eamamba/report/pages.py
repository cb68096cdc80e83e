"""What the book includes: the results of one profile, tables in Markdown, figures for its text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import yaml

from eamamba.config import EAMambaError, EAMambaSettings, TaskSettings, load_settings
from eamamba.report.speed import speed_tables
from eamamba.report.tables import (
    HEADLINE,
    complexity_table,
    headline_table,
    markdown,
    mean_scores,
    noise_table,
    photograph_table,
    settings_table,
)

PACKAGE_PROFILE = "pretrained"
# Large, or of the machine: no page shows them.
LEFT_OUT = ("*.safetensors", "*.pt", ".gitignore")


class ResultsError(EAMambaError, RuntimeError):
    """Results that a page shows are not there."""


def write_pages(root: Path, target: Path) -> dict[str, str]:
    """Copy the results of the profile in ``params.yaml`` and write the tables of the pages.

    Parameters
    ----------
    root : Path
        The project's folder, with ``params.yaml``, ``results/`` and ``data/paper/``.
    target : Path
        Folder to make anew: ``<task>/``, ``profiling/`` and ``scan_orders/`` with what the
        pipeline wrote, and Markdown tables beside it.

    Returns
    -------
    dict of str
        Figures for running text, ready to print.

    Raises
    ------
    ResultsError
        If a stage of the pipeline has not run for this profile.
    """
    profile = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["profile"]
    settings = load_settings(root / "params.yaml", profile)
    source = root / "results" / profile
    stages = ["profiling/complexity.csv", "scan_orders/all_around.png"]
    tasks = {name: task for name, task in settings.tasks.items() if (source / name).is_dir()}
    stages += [f"{task}/per_image.csv" for task in tasks or settings.tasks]
    missing = [stage for stage in stages if not (source / stage).is_file()]
    if missing:
        raise ResultsError(f"{source} lacks {', '.join(missing)}; run the pipeline: dvc repro")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    figures = {"profile": profile} | _write_complexity(root, target / "profiling", profile)
    (target / "benchmarks").mkdir()
    for name, table in speed_tables(root / "results" / "benchmarks").items():
        _write(target / "benchmarks" / f"{name}.md", table)
    for task, chosen in tasks.items():
        _write_task(target / task, chosen.model_dump(mode="json", exclude={"task", "profile"}))
        _write(target / task / "all_scores.md", _all_scores(root, profile, task))
        figures |= {f"{task}_{name}": value for name, value in _task_figures(chosen).items()}
        figures |= {f"{task}_{name}": value for name, value in _scores(target / task).items()}
    return figures | _paper_network()


def _paper_network() -> dict[str, str]:
    """Return the sizes of the paper's network: the defaults of its settings."""
    paper = EAMambaSettings()
    blocks = {f"paper_blocks_{level}": str(n) for level, n in enumerate(paper.num_blocks, start=1)}
    return blocks | {
        "paper_refinement": str(paper.num_refinement_blocks),
        "paper_dim": str(paper.dim),
        "paper_heads": str(paper.mamba_cfg.scan_count),
        "paper_states": str(paper.mamba_cfg.d_state),
    }


def _write_complexity(root: Path, folder: Path, profile: str) -> dict[str, str]:
    counted = pd.read_csv(folder / "complexity.csv")
    paper = pd.read_csv(root / "data" / "paper" / "complexity.csv")
    _write(folder / "headline.md", headline_table(counted, paper))
    _write(folder / "variants.md", complexity_table(counted, paper))
    rows = counted.set_index("variant")
    figures = {}
    names = {"eamamba": HEADLINE["EAMamba"], "baseline": HEADLINE["baseline 2DSSM"]}
    for name, variant in (names | {"own": f"{profile} profile"}).items():
        figures[f"{name}_parameters_m"] = f"{rows.loc[variant, 'parameters'] / 1e6:.2f}"
        figures[f"{name}_gflops"] = f"{rows.loc[variant, 'gflops']:.1f}"
    saved = 1 - rows.loc[names["eamamba"], "gflops"] / rows.loc[names["baseline"], "gflops"]
    return figures | {"gflops_saved_percent": f"{100 * saved:.0f}"}


def _write_task(folder: Path, settings: dict[str, object]) -> None:
    _write(folder / "settings.md", settings_table(settings))
    _write(folder / "photographs.md", photograph_table(pd.read_csv(folder / "data.csv")))


def _all_scores(root: Path, profile: str, task: str) -> pd.DataFrame:
    """Return the scores of the profile, of the package's weights and of the paper."""
    results = root / "results"
    measured = {f"{profile} profile": pd.read_csv(results / profile / task / "per_image.csv")}
    package = results / PACKAGE_PROFILE / task / "per_image.csv"
    if profile != PACKAGE_PROFILE and package.is_file():
        scores = pd.read_csv(package)
        # Profiles cut their own crops of bundled photographs: only benchmarks are the same.
        (own,) = measured.values()
        measured["weights of the package"] = scores[~scores["benchmark"].isin(own["benchmark"])]
    return noise_table(measured, pd.read_csv(root / "data" / "paper" / "paper_results.csv"))


def _task_figures(settings: TaskSettings) -> dict[str, str]:
    low, high = settings.data.sigma_255
    return {
        "iterations": str(settings.training.iterations),
        "sigma_low": f"{low:g}",
        "sigma_high": f"{high:g}",
    }


def _scores(folder: Path) -> dict[str, str]:
    """Return the mean scores of the first benchmark, by noise level."""
    scores = mean_scores(pd.read_csv(folder / "per_image.csv"))
    scores = scores[scores["benchmark"] == scores["benchmark"].iloc[0]]
    figures = {"images": str(scores["images"].iloc[0])}
    for row in scores.itertuples():
        level = f"{row.sigma_255:g}"
        figures[f"before_{level}"] = f"{row.psnr_input_db:.2f}"
        figures[f"after_{level}"] = f"{row.psnr_db:.2f}"
        figures[f"gain_{level}"] = f"{row.gain_db:.2f}".replace("-", "−")
    return figures


def _write(path: Path, table: pd.DataFrame) -> None:
    path.write_text(markdown(table), encoding="utf-8")
