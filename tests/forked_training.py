"""Trainings in several forked processes, in double precision, which may be disturbed.

The process that forks must compute with one thread (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import copy
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file
from tiny_training import CURVE, FINISHED, PARAMS, WEIGHTS, names

from eamamba.cli import main
from eamamba.training import Trainer, watch

ITERATIONS = 20
BATCH = 8
Disturb = Callable[[int, Trainer], None]
"""What to do before a step, given the number of the process."""


class Training:
    """The processes of one training, and the lines that they said."""

    def __init__(
        self,
        folder: Path,
        count: int,
        disturb: Disturb | None = None,
        **recipe: Any,
    ) -> None:
        self.folder, self.count = folder, count
        folder.parent.mkdir(exist_ok=True)
        self.settings = folder.with_suffix(".yaml")
        self.settings.write_text(_settings(recipe))
        port = str(free_port())
        self.children = [self._fork(rank, port, disturb) for rank in range(count)]

    def _fork(self, rank: int, port: str, disturb: Disturb | None) -> int:
        child = os.fork()
        if child:
            return child
        try:
            if self.count > 1:
                os.environ |= launched(rank, self.count, port)
            for state in (AcceleratorState, GradientState, PartialState):
                state._shared_state.clear()
            log = os.open(self._log(rank), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            _in_double_precision(rank, disturb)
            command = ["train", "denoise_gaussian", "--profile", "smoke", "--device", "cpu"]
            status = main(
                [*command, "--settings", str(self.settings), "--output", str(self.folder)]
            )
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(99)

    def _log(self, rank: int) -> Path:
        return self.folder.with_suffix(f".{rank}")

    def ended(self) -> list[int]:
        """Wait for all, and return their statuses; a negative number is a signal."""
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in self.children]

    def said(self) -> list[str]:
        """Return all lines of all processes."""
        texts = [self._log(rank).read_text() for rank in range(self.count)]
        return [line for text in texts for line in text.splitlines()]

    def weights(self) -> dict[str, torch.Tensor]:
        assert names(self.folder) == FINISHED, names(self.folder)
        return load_file(self.folder / WEIGHTS)


def _settings(recipe: dict[str, Any]) -> str:
    tree = yaml.safe_load(PARAMS.read_text())
    usual = {"stages": [{"patch": 8, "batch": BATCH, "iterations": ITERATIONS}]}
    usual |= {"checkpoint_every": 5, "log_every": 4}
    tree["profiles"]["smoke"]["training"] |= usual | recipe
    return yaml.safe_dump(tree, sort_keys=False)


def launched(rank: int, count: int, port: str) -> dict[str, str]:
    """Return the variables that torchrun sets."""
    numbers = {"RANK": str(rank), "WORLD_SIZE": str(count)}
    local = {f"LOCAL_{name}": number for name, number in numbers.items()}
    return numbers | local | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _in_double_precision(rank: int, disturb: Disturb | None) -> None:
    """Let all trainings compute in float64, where nothing hides in rounding, and be disturbed."""
    torch.set_default_dtype(torch.float64)
    step = Trainer.step

    def disturbed(trainer: Trainer, degraded: torch.Tensor, clean: torch.Tensor) -> Any:
        if disturb is not None:
            disturb(rank, trainer)
        return step(trainer, degraded.double(), clean.double())

    Trainer.step = disturbed  # type: ignore[method-assign]
    score = watch.validate
    watch.validate = lambda network, task: score(copy.deepcopy(network).float(), task)


def check_equal(one: Training, other: Training) -> None:
    """Compare weights and curves."""
    first, second = one.weights(), other.weights()
    assert first.keys() == second.keys()
    for name, weight in first.items():
        distance = float((weight - second[name]).norm() / weight.norm())
        assert distance <= 1e-6, (other.folder, name, distance)
    curves = [pd.read_csv(training.folder / CURVE) for training in (one, other)]
    pd.testing.assert_frame_equal(*curves, rtol=1e-6)


def finished(training: Training) -> Training:
    """Wait for the end of a training that nobody disturbs."""
    statuses = training.ended()
    assert statuses == [0] * training.count, (statuses, training.said())
    assert [line for line in training.said() if not line.startswith("Resuming")] == [
        f"weights: {training.folder / WEIGHTS}"
    ]
    return training


def only_line(training: Training) -> str:
    """Return what all processes of a training said, which is one line."""
    assert len(training.said()) == 1, training.said()
    return training.said()[0]
