"""Freed buffers stay with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_blocks_of_any_size_are_kept() -> None:
    code = """
import psutil, torch
from eamamba.memory import reuse_large_blocks
assert reuse_large_blocks()
size = 3 * 2**30  # more than glibc's largest threshold; never written to, so it takes no memory
blocks = [torch.empty(size, dtype=torch.uint8) for _ in range(2)]
before = psutil.Process().memory_info().vms
del blocks
assert psutil.Process().memory_info().vms == before > 2 * size
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
