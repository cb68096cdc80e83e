"""``eamamba train``: how it ends, and what it says then."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_files import PARAMS, files, lines_said, one_error

from eamamba.training import STATE_FILE, Trainer

Run = Callable[..., tuple[int, str, str]]
TRAIN = ("train", "denoise_gaussian", "--device", "cpu", "-o", "out")


def test_time_limit_is_resumable(run: Run, project: Path) -> None:
    status, output, _ = run(*TRAIN, "--time-limit", "0s")
    assert (status, files(project / "out")) == (0, ["training.log", STATE_FILE])
    assert "time limit reached: saved in out" in output
    status, output, errors = run(*TRAIN, "--time-limit", "1h30m")
    assert (status, lines_said(errors)) == (0, ["Resuming from iteration 1"])
    assert output == f"weights: {Path('out/model.safetensors')}\n"


def test_rehearsal_writes_nothing(run: Run, project: Path) -> None:
    status, output, errors = run("train", "denoise_gaussian", "--rehearse", "--device", "cpu")
    assert (status, lines_said(errors), files(project)) == (0, [], ["params.yaml"])
    assert "a saved state takes" in output
    assert re.search(r"about [\d.e-]+ hours on cpu for 8 iterations", output)


@pytest.mark.parametrize("text", ["soon", "", "1d", "-5", "h", "1m1h"])
def test_times_that_cannot_be(run: Run, project: Path, text: str) -> None:
    status, _, errors = run(*TRAIN, f"--time-limit={text}")
    assert status == 2
    assert f"--time-limit: got {text!r}; expected seconds" in one_error(errors)
    assert files(project) == ["params.yaml"]


def test_finished_weights_need_fresh(run: Run, project: Path) -> None:
    assert run(*TRAIN)[0] == 0
    status, _, errors = run(*TRAIN)
    assert status == 2
    assert "finished weights are here" in one_error(errors)
    assert run(*TRAIN, "--fresh")[0] == 0
    assert files(project / "out") == ["model.safetensors", "training.csv", "training.log"]


@pytest.mark.parametrize("content", [b"", bytes(range(256))])
def test_damaged_state_is_one_line(run: Run, project: Path, content: bytes) -> None:
    (project / "out").mkdir()
    (project / "out" / STATE_FILE).write_bytes(content)
    status, _, errors = run(*TRAIN)
    assert status == 2
    assert f"{Path('out') / STATE_FILE}: " in one_error(errors)
    assert "--fresh" in errors


def test_divergence_has_status_2(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def spoilt(trainer: Trainer, degraded: torch.Tensor, clean: torch.Tensor) -> object:
        return step(trainer, degraded * (float("nan") if trainer.iteration == 5 else 1), clean)

    monkeypatch.setattr(Trainer, "step", spoilt)
    status, _, errors = run(*TRAIN)
    assert status == 2
    assert "diverged at iteration 6" in one_error(errors)
    assert files(project / "out") == [
        "diverged_batch.pt",
        "training.csv",
        "training.log",
        STATE_FILE,
    ]


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signals_end_it_resumably(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, expected: int
) -> None:
    step = Trainer.step

    def interrupted(trainer: Trainer, *batch: torch.Tensor) -> object:
        if trainer.iteration == 2:
            os.kill(os.getpid(), number)
        return step(trainer, *batch)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(Trainer, "step", interrupted)
        status, _, errors = run(*TRAIN)
    assert status == expected
    assert lines_said(errors)[0].startswith("interrupted at iteration 3 of 8; saved in out")
    assert lines_said(run(*TRAIN)[2]) == ["Resuming from iteration 3"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signal_to_all_processes_of_a_training(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    text = text.replace("iterations: 8}", "iterations: 100000}", 1)
    text = text.replace("held_out_size: 64", "held_out_size: 64\n      workers: 2", 1)
    (project / "params.yaml").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent)}
    command = [sys.executable, "-m", "eamamba", *TRAIN]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as training:
        assert training.stderr is not None
        try:
            while not (project / "out" / STATE_FILE).exists() and training.poll() is None:
                time.sleep(0.1)
            os.killpg(training.pid, signal.SIGTERM)
            errors = training.stderr.read()
        except BaseException:
            os.killpg(training.pid, signal.SIGKILL)
            raise
    assert training.returncode == 143
    (line,) = lines_said(errors)
    assert line.startswith("interrupted at iteration ")
    with pytest.raises(ProcessLookupError):  # no process of it is left
        os.killpg(training.pid, 0)


def test_missing_tensorboard_is_one_line(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eamamba.training.board.find_spec", lambda _: None)
    status, _, errors = run(*TRAIN, "--tensorboard")
    assert status == 2
    assert one_error(errors).endswith('needs tensorboard: pip install "eamamba[tensorboard]"')
    assert files(project) == ["params.yaml"]
