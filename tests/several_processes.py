"""Train in several processes on one machine, disturb them, and look at what they say and leave.

    python tests/several_processes.py SCENARIO FOLDER

Trainings are forked from this process, which must compute with one thread (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import errno
import os
import random
import signal
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
from eamamba.datasets.errors import PatchError
from eamamba.datasets.patches import PatchDataset
from eamamba.training import STATE_FILE, Trainer, states

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
        port = str(_free_port())
        self.children = [self._fork(rank, port, disturb) for rank in range(count)]

    def _fork(self, rank: int, port: str, disturb: Disturb | None) -> int:
        child = os.fork()
        if child:
            return child
        try:
            if self.count > 1:
                os.environ |= _launched(rank, self.count, port)
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


def _launched(rank: int, count: int, port: str) -> dict[str, str]:
    """Return the variables that torchrun sets."""
    numbers = {"RANK": str(rank), "WORLD_SIZE": str(count)}
    local = {f"LOCAL_{name}": number for name, number in numbers.items()}
    return numbers | local | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def _free_port() -> int:
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


def equal(root: Path) -> None:
    """One process, two, three with unlike shares, and one with accumulated gradients."""
    whole = finished(Training(root / "whole", 1))
    check_equal(whole, finished(Training(root / "two", 2)))
    check_equal(whole, finished(Training(root / "accumulated", 1, micro_batch=2)))
    check_equal(whole, finished(Training(root / "both", 3, micro_batch=2)))


def killed(root: Path) -> None:
    """Killed at random, and resumed by one process and by two in turn."""
    whole = finished(Training(root / "whole", 2))
    moments = sorted(random.Random(0).sample(range(1, ITERATIONS), 4))
    for attempt, moment in enumerate(moments):

        def die(_: int, trainer: Trainer, moment: int = moment) -> None:
            if trainer.iteration == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        statuses = Training(root / "parts", 1 + attempt % 2, die, checkpoint_every=1).ended()
        assert -signal.SIGKILL in statuses, statuses
    check_equal(whole, finished(Training(root / "parts", 1)))


def interrupted(root: Path) -> None:
    """SIGTERM to all, twice, as launchers do: one line, and resumable by one process."""

    def stop(rank: int, trainer: Trainer) -> None:
        if trainer.iteration == 7 + rank:  # not in the same step
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    training = Training(root / "parts", 2, stop)
    assert training.ended() == [143, 143]
    line = only_line(training)
    assert line.startswith("interrupted at iteration 8 of 20; saved in "), line
    _check_resumes(training, 8)


def lost(root: Path) -> None:
    """One process dies: the others end, one of them says so, and nothing is lost."""
    for dying in (0, 1):

        def die(rank: int, trainer: Trainer, dying: int = dying) -> None:
            if rank == dying and trainer.iteration == 7:
                os.kill(os.getpid(), signal.SIGKILL)

        training = Training(root / f"without {dying}", 2, die)
        statuses = training.ended()
        assert statuses.pop(dying) == -signal.SIGKILL
        assert statuses == [2]
        line = only_line(training)
        assert "iteration 8: another process of this training was lost; run the same" in line, line
        _check_resumes(training, 7 if dying == 1 else 5)


def full_disk(root: Path) -> None:
    """The main process cannot write the state: one line, all end, resumable."""

    def fill(rank: int, trainer: Trainer) -> None:
        if rank == 0 and trainer.iteration == 9:
            states.write_atomically = full

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    training = Training(root / "parts", 2, fill)
    assert training.ended() == [2, 2]
    line = only_line(training)
    assert line == f"error: {training.folder / STATE_FILE}: No space left on device"
    _check_resumes(training, 5)


def unreadable(root: Path) -> None:
    """A file that one process alone cannot read ends all with one line that names it."""
    item = PatchDataset.__getitem__

    def broken(rank: int, trainer: Trainer) -> None:
        def read(patches: PatchDataset, index: int) -> object:
            if rank == 1 and trainer.iteration == 7:
                raise PatchError("photo.png: not a readable image")
            return item(patches, index)

        PatchDataset.__getitem__ = read  # type: ignore[method-assign]

    training = Training(root / "parts", 2, broken)
    assert training.ended() == [2, 2]
    assert training.said() == ["error: photo.png: not a readable image"]
    _check_resumes(training, 5)


def refused(root: Path) -> None:
    """What cannot be trained is refused by all, and said once."""
    stage = {"patch": 8, "batch": 1, "iterations": 4}
    small = Training(root / "small", 2, stages=[stage])
    assert small.ended() == [2, 2]
    line = only_line(small)
    assert "a batch of 1 for 2 processes" in line
    done = finished(Training(root / "done", 1))
    again = Training(done.folder, 2)
    assert again.ended() == [2, 2]
    line = only_line(again)
    assert "finished weights are here" in line


def diverged(root: Path) -> None:
    """The kept batch is that of all processes, and the images of any of them are blamed."""

    def spoil(rank: int, trainer: Trainer) -> None:
        if rank == 1 and trainer.iteration == 5:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(float("nan"))

    training = Training(root / "parts", 2, spoil)
    assert training.ended() == [2, 2]
    line = only_line(training)
    assert "diverged at iteration 6: the loss became nan" in line
    kept = torch.load(training.folder / "diverged_batch.pt")
    assert kept["degraded"].shape == kept["clean"].shape == (BATCH, 3, 8, 8)


def _check_resumes(training: Training, iteration: int) -> None:
    resumed = finished(Training(training.folder, 3 - training.count))
    assert f"Resuming from iteration {iteration}" in resumed.said(), resumed.said()


SCENARIOS: dict[str, Callable[[Path], None]] = {
    scenario.__name__: scenario
    for scenario in (equal, killed, interrupted, lost, full_disk, unreadable, refused, diverged)
}

if __name__ == "__main__":
    name, place = sys.argv[1:]
    torch.set_num_threads(1)
    SCENARIOS[name](Path(place))
