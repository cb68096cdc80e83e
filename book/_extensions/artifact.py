"""What it would take to reproduce the paper's own scores, for the page on artifacts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eamamba.config import TaskSettings, load_settings
from eamamba.datasets import PUBLISHED
from eamamba.report.tables import markdown

PUBLISHED_RECIPE = "paper"
FORWARD_AND_BACKWARD = 3
"""A training step costs so many forward passes: the backward pass counts as two."""
SECONDS_A_DAY = 86_400


def write_artifact(root: Path, target: Path) -> None:
    """Write the table for the page *Where it stands among artifacts*.

    Parameters
    ----------
    root : Path
        The project's folder, with ``params.yaml`` and ``results/benchmarks/``.
    target : Path
        ``book/results``, which has the results of the profile.
    """
    tasks = load_settings(root / "params.yaml", PUBLISHED_RECIPE).tasks
    counted = pd.read_csv(target / "profiling" / "complexity.csv").set_index("network")
    measured = pd.read_csv(root / "results" / "benchmarks" / "network_gpu.csv")
    table = needs_table(tasks, counted, measured)
    (target / "artifact_needs.md").write_text(markdown(table), encoding="utf-8")


def needs_table(
    tasks: dict[str, TaskSettings], counted: pd.DataFrame, measured: pd.DataFrame
) -> pd.DataFrame:
    """List what the published recipe takes: data, iterations, computation and days on a GPU.

    Parameters
    ----------
    tasks : dict
        Tasks and their settings of the published recipe.
    counted : DataFrame
        ``complexity.csv`` by network: size (pixels), gflops.
    measured : DataFrame
        ``network_gpu.csv``; its largest training step of `eamamba` gives the speed of the GPU.
    """
    steps = measured[measured["pass"].eq("training step") & measured["backend"].eq("triton")]
    best = steps.dropna(subset="ms").sort_values(["batch", "side"]).iloc[-1]
    pixels = best["batch"] * best["side"] ** 2
    speed = pixels * _per_pixel(counted.loc["eamamba"]) / (best["ms"] / 1000)
    rows = []
    for name, task in tasks.items():
        operations = _operations(name, task, counted)
        rows.append(
            {
                "Task": task.title,
                "Training data": "; ".join(_data(task)),
                "Iterations": f"{task.training.iterations:,}".replace(",", "\u202f"),
                "EFLOPs": f"{operations / 1e18:.2f}",
                f"Days on one {best['device']}": f"{operations / speed / SECONDS_A_DAY:.1f}",
            }
        )
    return pd.DataFrame(rows)


def _operations(name: str, task: TaskSettings, counted: pd.DataFrame) -> float:
    """Return the operations of a whole training, from what the network costs per pixel."""
    two_views = task.data.degradation == "dual_pixel_defocus"
    usual = "dual_pixel" if two_views else "eamamba"
    network = counted.loc[name if name in counted.index else usual]
    stages = task.training.stages
    pixels = sum((s.patch // task.scale) ** 2 * s.batch * s.iterations for s in stages)
    return pixels * _per_pixel(network)


def _per_pixel(network: pd.Series) -> float:
    """Return the operations of a training step for each pixel of the input."""
    return FORWARD_AND_BACKWARD * network["gflops"] * 1e9 / network["size"] ** 2


def _data(task: TaskSettings) -> list[str]:
    """Return links to the training sets, with their numbers of images."""
    return [
        f"[{name}]({PUBLISHED[name].homepage}), "
        f"{PUBLISHED[name].expected('training', task.data.layout)} images"
        for name in task.data.training_set
    ]
