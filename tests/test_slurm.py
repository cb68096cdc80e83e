"""The Slurm script queues a job again exactly when its time was up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "slurm"
JOB = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}


@pytest.mark.skipif(sys.platform == "win32", reason="a script for Bash")
@pytest.mark.parametrize(
    ("status", "finished", "queued_again"), [(0, False, True), (0, True, False), (2, False, False)]
)
def test_queued_again(tmp_path: Path, status: int, finished: bool, queued_again: bool) -> None:
    commands = {
        "srun": f'echo "srun $*" >> said; exit {status}',
        "scontrol": 'echo "scontrol $*" >> said; echo node1; echo node2',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    if finished:
        (tmp_path / "results/paper/derain").mkdir(parents=True)
        (tmp_path / "results/paper/derain/model.safetensors").touch()
    environment = os.environ | JOB | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [SCRIPT, "derain"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == status
    _, started, *last = (tmp_path / "said").read_text().splitlines()
    assert "torchrun --nnodes 2 " in started
    assert "--rdzv-endpoint node1:29500 " in started
    assert " -m eamamba train derain --profile paper --time-limit " in started
    assert last == ["scontrol requeue 7"] * queued_again
