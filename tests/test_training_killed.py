"""A training that is killed again and again ends as one that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import PARAMS

KILLS = 50


@pytest.mark.slow
@pytest.mark.timeout(900)  # two minutes, on cores that others use too
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have loaded PyTorch")
def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    script = Path(__file__).with_name("training_to_kill.py")
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path), str(KILLS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KILLS} times killed, ")
