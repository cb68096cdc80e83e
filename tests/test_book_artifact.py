"""What the book says of the cost of the published recipe."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from artifact import needs_table

from eamamba.config import load_settings
from eamamba.training import plan

ROOT = Path(__file__).parents[1]


def test_computation_and_days_are_those_of_a_planned_training() -> None:
    tasks = load_settings(ROOT / "params.yaml", "paper").tasks
    counted = pd.read_csv(ROOT / "results/laptop/profiling/complexity.csv").set_index("network")
    columns = ["pass", "backend", "batch", "side", "ms", "device"]
    rows = [
        ("training step", "triton", 1, 256, 9000.0, "GPU"),
        ("training step", "triton", 2, 256, 1000.0, "GPU"),
        ("training step", "triton", 8, 256, None, "GPU"),  # did not fit
        ("training step", "mamba_ssm", 8, 256, 1.0, "GPU"),
        ("forward", "triton", 8, 256, 1.0, "GPU"),
    ]
    table = needs_table(tasks, counted, pd.DataFrame(rows, columns=columns))
    table = table.set_index("Task")
    light = tasks["sr_light_x2"]
    row = table.loc[light.title]
    planned = plan(light)["teraflops"].sum()
    assert float(row["EFLOPs"]) == pytest.approx(planned / 1e6, abs=0.006)
    speed = 3 * 2 * counted.loc["eamamba", "gflops"] / 1e3  # TFLOP/s
    assert float(row["Days on one GPU"]) == pytest.approx(planned / speed / 86_400, abs=0.06)
    assert "[DIV2K](https" in row["Training data"]
    assert "800 images" in row["Training data"]
    assert len(table) == len(tasks)
