"""What every test relies on: quiet, headless, deterministic, and no GPU unless there is one."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

# Triton reads this when it is first imported: without a GPU its kernels run interpreted.
if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, one for each core
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("EAMAMBA_PROGRESS", "lines")  # also where a test has loaded Jupyter's kernel

# The same examples in every run, and no time limit for one: timings are never asserted.
settings.register_profile("deterministic", derandomize=True, deadline=None, database=None)
settings.load_profile("deterministic")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``gpu`` where torch sees no CUDA device."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch  # only here: most tests of the repository itself need no torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; torch.cuda.is_available() is False")
