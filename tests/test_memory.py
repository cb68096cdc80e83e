"""Freed buffers stay with the process; what the network takes is estimated well enough."""

from __future__ import annotations

import platform
import subprocess
import sys

import pandas as pd
import pytest

from eamamba import paths
from eamamba.config import EAMambaSettings, EAMambaSRSettings, ModelSettings
from eamamba.restore.memory import activation_bytes


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_blocks_of_any_size_are_kept_until_returned() -> None:
    code = """
import psutil, torch
from eamamba.heap import return_free_blocks, reuse_large_blocks
assert reuse_large_blocks()
size = 3 * 2**30  # more than glibc's largest threshold; never written to, so it takes no memory
blocks = [torch.empty(size, dtype=torch.uint8) for _ in range(2)]
before = psutil.Process().memory_info().vms
del blocks
assert psutil.Process().memory_info().vms == before > 2 * size
written = [torch.ones(2**25) for _ in range(2)]
before, size = psutil.Process().memory_info().rss, 4 * 2**26
del written
assert psutil.Process().memory_info().rss > before - size / 10
return_free_blocks()
assert psutil.Process().memory_info().rss < before - size * 0.9
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("network", "settings"), [("paper", EAMambaSettings()), ("light", EAMambaSRSettings())]
)
def test_memory_is_not_counted_short(network: str, settings: ModelSettings) -> None:
    table = pd.read_csv(paths.project_root() / "results" / "benchmarks" / "growth_cpu.csv")
    table = table[(table["study"] == "pixels") & (table["network"] == network) & ~table["training"]]
    peaks = table.set_index("side")["peak_memory_mib"] * 2**20
    for side in (512, 1024):
        counted = activation_bytes(settings) * side**2
        assert counted / 3 < peaks[side] - peaks[64] < counted
