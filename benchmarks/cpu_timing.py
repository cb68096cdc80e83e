"""CPU timing and writing of measurements, shared by the benchmark scripts."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch


def best_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the shortest of ``repeats`` runs after a warm-up run.

    On one thread, this is CPU time, on which other programs have little effect.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    function()
    times = []
    for _ in range(repeats):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def mm_gmacs_per_second() -> float:
    """Return the throughput of a large float32 matrix product, in 1e9 multiply-adds per second."""
    a, b = torch.rand(4096, 1024), torch.rand(1024, 4096)
    return 4096 * 4096 * 1024 / best_seconds(lambda: a @ b, 8) / 1e9


def copy_gbytes_per_second() -> float:
    """Return the bandwidth of a copy too large for any cache, in 1e9 bytes per second.

    Bytes read and bytes written both count.
    """
    source = torch.rand(2**26)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: target.copy_(source), 8) / 1e9


def write(table: pd.DataFrame, path: str, digits: int = 5) -> None:
    """Write a table of measurements as CSV, with the name of the CPU in every row."""
    table.assign(processor=_cpu_name()).to_csv(path, index=False, float_format=f"%.{digits}g")


def _cpu_name() -> str:
    described = Path("/proc/cpuinfo")  # Linux only; elsewhere, ask Python
    lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
