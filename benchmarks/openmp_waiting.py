"""How idle OpenMP threads should wait: the forward pass on quiet and on busy cores.

PyTorch's threads spin for a while after each operator, to be ready for the next. If another program
needs the core, they take time from it or from each other. For each setting, a network restores a
small picture, once alone and once beside one busy process per two cores.

    python benchmarks/openmp_waiting.py --csv results/benchmarks/openmp_waiting.csv

Settings alternate, each time in a new process, so that changes in the machine's speed favour none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
from cpu_timing import write

SETTINGS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    **{f"spin {n:,}": {"GOMP_SPINCOUNT": str(n)} for n in (1_000, 10_000, 30_000)},
}
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
FORWARD = """
import sys, time, torch
from eamamba.checkpoint import load_model
network, image = load_model("denoise_gaussian"), torch.rand(1, 3, *2 * [int(sys.argv[1])])
with torch.inference_mode():
    for _ in range(2 + int(sys.argv[2])):
        start = time.perf_counter()
        network(image)
        print(time.perf_counter() - start)
"""


def forward_seconds(setting: dict[str, str], side: int, repeats: int) -> list[float]:
    """Time forward passes in a new process, after two warm-up passes."""
    usual = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", FORWARD, str(side), str(repeats)]
    done = subprocess.run(
        command, env=usual | setting, check=True, stdout=subprocess.PIPE, text=True
    )
    return [float(line) for line in done.stdout.split()][2:]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep this number of cores busy."""
    command = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(side: int, rounds: int, repeats: int) -> pd.DataFrame:
    """Return one row for each setting and each number of busy processes."""
    rows = []
    for processes in (0, max(1, (os.cpu_count() or 1) // 2)):
        seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
        with busy(processes):
            for _ in range(rounds):
                for name, setting in SETTINGS.items():
                    seconds[name] += forward_seconds(setting, side, repeats)
        for name, times in seconds.items():
            spread = {
                "median_s": statistics.median(times),
                "min_s": min(times),
                "max_s": max(times),
            }
            rows.append({"waiting": name, "busy_processes": processes, "side": side} | spread)
    table = pd.DataFrame(rows)
    quiet = table[table["busy_processes"] == 0].set_index("waiting")["median_s"]
    table["over_quiet_default"] = table["median_s"] / quiet["default"]
    return table


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=8, help="forward passes per round")
    parser.add_argument("--csv", help="CSV file for the table")
    options = parser.parse_args()
    table = measure(options.side, options.rounds, options.repeats)
    print(table.to_string(index=False, float_format="%.3f"))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
