"""Tables of the experiments on real pairs: `benchmarks/best_filter.py` and `simulation.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from eamamba.report.scores import format_with_sign, gain_interval
from eamamba.report.tables import markdown


def write_best_filter(root: Path, file: Path, titles: Mapping[str, str]) -> None:
    """Write the table of both gains, or nothing if the filter was not measured.

    Parameters
    ----------
    root : Path
        The project's folder.
    file : Path
        Markdown file to write.
    titles : mapping
        Task and its title.
    """
    measured = root / "results" / "benchmarks" / "best_filter.csv"
    if not measured.is_file():
        return
    best = pd.read_csv(measured)
    ours = pd.read_csv(root / "results" / "pretrained" / "real_pairs" / "summary.csv")
    gains = ours.set_index(["task", "benchmark"])["gain_db"]
    table = pd.DataFrame(
        {
            "Degradation": best["task"].map(titles),
            "Set": best["benchmark"],
            "Images": best["images"],
            "Best filter, gain in dB": best["gain_db"].map(format_with_sign),
            "95 % interval": gain_interval(best),
            "Weight of the middle": best["middle"].map("{:.2f}".format),
            "Network, gain in dB": [
                format_with_sign(gains[task, name])
                for task, name in zip(best["task"], best["benchmark"], strict=True)
            ],
        }
    )
    file.write_text(markdown(table), encoding="utf-8")


def write_simulation(root: Path, file: Path, titles: Mapping[str, str]) -> None:
    """Write the table of real and simulated degradations, or nothing if they were not compared.

    Parameters as for `write_best_filter`.
    """
    measured = root / "results" / "benchmarks" / "simulation.csv"
    if not measured.is_file():
        return
    rows = pd.read_csv(measured)
    table = pd.DataFrame(
        {
            "Degradation": rows["task"].map(titles),
            "Set": rows["benchmark"],
            "Squares": rows["squares"],
            "Quantity": rows["quantity"],
            "Real": _median_and_range(rows, "real"),
            "Simulated": _median_and_range(rows, "simulated"),
        }
    )
    file.write_text(markdown(table), encoding="utf-8")


def _median_and_range(rows: pd.DataFrame, kind: str) -> list[str]:
    """Return the medians, with the 10th and 90th percentiles."""
    columns = (rows[f"{kind}_{percent}"] for percent in (50, 10, 90))
    digits = [1 if "dB" in quantity else 2 for quantity in rows["quantity"]]
    return [
        f"{median:z.{places}f} ({low:z.{places}f} to {high:z.{places}f})"
        for places, median, low, high in zip(digits, *columns, strict=True)
    ]
