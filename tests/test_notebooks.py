"""Notebooks opened by hand: they spare committed results, and say in a line what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from eamamba.checkpoint import save_model
from eamamba.config import load_settings
from eamamba.network import build
from eamamba.paths import trained_model

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
TASK = "denoise_gaussian"
WRITES = {
    "ablation": ("ablations/all_around", {"complexity.csv", "model.safetensors", "training.csv"}),
    "ablation_fields": ("ablation_fields", {"areas.csv", "fields.png"}),
    "data": (TASK, {"training_images.csv", "test_images.csv", "degradation.jpg"}),
    "evaluate": (TASK, {"metrics.json", "scores.md", "summary.jpg", "training_curve.png"}),
    "own_images": ("own_images", {"comparison.jpg", "model.safetensors", "training_curve.png"}),
    "photographs": ("photographs", {"held_out.jpg", "training.jpg"}),
    "pictures": ("pictures", {"pictures.csv", "shown"}),
    "profiling": ("profiling", {"complexity.csv", "complexity_by_kind.png"}),
    "protocols": ("protocols", {"differences.csv"}),
    "receptive_field": (TASK, {"receptive_field.png"}),
    "scan_orders": ("scan_orders", {"all_around.png", "neighbour_steps.csv", "patterns.png"}),
    "train": (TASK, {"model.safetensors", "training.csv"}),
}
"""Stage notebook -> its folder, and some of the files that it writes there."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the settings and the paper's figures, and no results."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "data" / "paper", tmp_path / "data" / "paper")
    monkeypatch.setenv("EAMAMBA_ROOT", str(tmp_path))
    monkeypatch.delenv("EAMAMBA_OUTPUT", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def give_weights(project: Path) -> set[Path]:
    """Put down what the train stage leaves; return its files."""
    folder = project / "results" / "smoke" / TASK
    settings = load_settings(project / "params.yaml", "smoke").task(TASK)
    save_model(build(settings.model), folder / "model.safetensors", task=TASK)
    for variant in ("baseline_2dssm", "multi_head", "all_around"):
        save_model(build(settings.model), trained_model("smoke", f"ablations/{variant}"), task=TASK)
    shutil.copy(ROOT / "results" / "laptop" / TASK / "training.csv", folder)
    return {path for path in project.joinpath("results").rglob("*") if path.is_file()}


def run_alone(name: str, **parameters: str) -> nbformat.NotebookNode:
    """Run a notebook of the repository as Jupyter does, without `pipeline/run.py`."""
    return papermill.execute_notebook(
        NOTEBOOKS / f"{name}.ipynb", None, parameters, cwd=NOTEBOOKS, progress_bar=False
    )


def test_every_stage_notebook_is_tried_below() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == {*WRITES, "tour"}


@pytest.mark.slow
def test_the_tour_runs_and_shows_what_it_promises(project: Path) -> None:
    cells = run_alone("tour").cells
    shown = {cell.id: out for cell in cells if cell.cell_type == "code" for out in cell.outputs}
    kinds = {name: list(out["data"])[-1] for name, out in shown.items() if "data" in out}
    assert kinds == {
        "restore": "text/html",
        "truth": "image/png",
        "scan": "text/html",
        "trail": "image/png",
        "heads": "image/png",
        "field": "image/png",
    }
    words = shown["operator"]["text"].split(": ")
    assert words[0] == "largest difference"
    assert float(words[1]) < 1e-5
    assert not (project / "results").exists(), "the tour writes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WRITES))
def test_a_notebook_run_alone_writes_to_the_scratch_folder(project: Path, name: str) -> None:
    given = give_weights(project)
    before = {path: path.read_bytes() for path in given}
    run_alone(name, profile="smoke")
    folder, expected = WRITES[name]
    scratch = project / "results" / "scratch"
    assert expected <= {path.name for path in (scratch / "smoke" / folder).iterdir()}
    written = {path for path in project.joinpath("results").rglob("*") if path.is_file()}
    assert {path for path in written if not path.is_relative_to(scratch)} == given
    assert {path: path.read_bytes() for path in given} == before


def test_git_ignores_the_scratch_folder() -> None:
    command = ["git", "check-ignore", "--quiet", "results/scratch/laptop/derain/metrics.json"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ["evaluate", "receptive_field"])
def test_missing_weights_are_one_line_that_says_what_to_run(project: Path, name: str) -> None:
    with pytest.raises(PapermillExecutionError) as caught:
        run_alone(name, task="derain")
    assert caught.value.ename == "CheckpointError"
    assert "dvc repro train@derain (profile laptop)" in caught.value.evalue
    assert caught.value.traceback == [f"error: {caught.value.evalue}"]
    assert not (project / "results").exists()


def test_the_pipeline_writes_beside_the_executed_notebook(project: Path) -> None:
    executed = project / "results" / "laptop" / "scan_orders" / "scan_orders.ipynb"
    notebook = str(NOTEBOOKS / "scan_orders.ipynb")
    relative = str(executed.relative_to(project))
    command = [sys.executable, str(ROOT / "pipeline" / "run.py"), notebook, relative]
    subprocess.run([*command, "-p", "profile", "laptop"], cwd=project, check=True)
    written = {path for path in (project / "results").rglob("*") if path.is_file()}
    names = (
        "all_around.png",
        "neighbour_steps.csv",
        "neighbour_steps.png",
        "patterns.png",
        "scan_orders.ipynb",
    )
    assert written == {executed.with_name(name) for name in names}
