"""Content of the chapter on speed: tables, charts and the names of the hardware."""

from __future__ import annotations

from pathlib import Path

from speed_charts import save_speed_charts
from speed_tables import processor, speed_tables

from eamamba.report.tables import markdown


def write_speed(measured: Path, target: Path) -> dict[str, str]:
    """Write a table and a chart for each benchmark that was measured.

    Parameters
    ----------
    measured : Path
        ``results/benchmarks``.
    target : Path
        New folder for them.

    Returns
    -------
    dict of str
        Names of the CPU and the GPUs, and threads, for the text.
    """
    target.mkdir()
    for name, table in speed_tables(measured).items():
        (target / f"{name}.md").write_text(markdown(table), encoding="utf-8")
    save_speed_charts(measured, target)
    return processor(measured)
