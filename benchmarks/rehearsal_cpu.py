"""The published recipe of every task, rehearsed on this CPU: memory, time and days of each stage.

The same as `eamamba train TASK --profile paper --rehearse`, on made-up pictures in the layout and
about the size of the published ones where those are missing. Every task has a process of its own.

    python benchmarks/rehearsal_cpu.py --csv results/benchmarks/rehearsal_cpu.csv
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from cpu_timing import write

from eamamba.config import load_settings
from eamamba.heap import reuse_large_blocks
from eamamba.training.rehearsal import rehearse

PARAMS = Path(__file__).parents[1] / "params.yaml"


def measure(task: str) -> pd.DataFrame:
    """Return one row for each stage of a task."""
    reuse_large_blocks()
    found = rehearse(load_settings(PARAMS, "paper").task(task))
    table = found.stages.reset_index().assign(made_up=found.made_up, state_mib=found.state_mib)
    table.insert(0, "task", task)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = list(load_settings(PARAMS, "paper").tasks)
    parser.add_argument("tasks", nargs="*", default=tasks, help="default: all")
    parser.add_argument("--csv", help="CSV file for the table, written after every task")
    options = parser.parse_args()
    tables = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for table in pool.map(measure, options.tasks):
            tables.append(table)
            print(table.to_string(index=False, float_format="{:.4g}".format), flush=True)
            if options.csv:
                write(pd.concat(tables), options.csv)


if __name__ == "__main__":
    main()
