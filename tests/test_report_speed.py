"""The tables of the speed chapter say what the CSV files hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eamamba.report.speed import speed_tables

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


def test_backends_stand_side_by_side(tmp_path: Path) -> None:
    rows = [
        {"batch": 1, "side": 256, "divisor": 2, "head_channels": 16, "pass": p, "backend": b}
        | {"device_ms": ms}
        for p, b, ms in (
            ("forward", "triton", 0.5),
            ("forward", "mamba_ssm", 1.25),
            ("training", "triton", 2.0),
        )
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "scan_gpu.csv", index=False)
    table = speed_tables(tmp_path)["scan_gpu"]
    assert table["map side"].tolist() == ["128", "128"]
    assert table["pass"].tolist() == ["forward", "with backward"]
    assert table["ours, ms"].tolist() == ["0.500", "2.000"]
    assert table["× faster"].tolist() == ["2.5", "–"]


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.csv")))
def test_every_committed_benchmark_has_a_table(name: str) -> None:
    table = speed_tables(RESULTS)[name]
    assert len(table) > 0
    assert not (table == "nan").any(axis=None)
