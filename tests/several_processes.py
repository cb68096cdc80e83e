"""Train in several processes on one machine, disturb them, and look at what they say and leave.

    python tests/several_processes.py SCENARIO FOLDER

Trainings are forked from this process, which must compute with one thread (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from forked_training import BATCH, ITERATIONS, Training, check_equal, finished, only_line

from eamamba.datasets.errors import PatchError
from eamamba.datasets.patches import PatchDataset
from eamamba.training import STATE_FILE, Trainer, states
from eamamba.training.kept import BEST_FILE
from eamamba.training.validation import PICTURE_FILE, VALIDATION_FILE


def equal(root: Path) -> None:
    """One process, two, three with unlike shares, and one with accumulated gradients."""
    whole = finished(Training(root / "whole", 1))
    check_equal(whole, finished(Training(root / "two", 2)))
    check_equal(whole, finished(Training(root / "accumulated", 1, micro_batch=2)))
    check_equal(whole, finished(Training(root / "both", 3, micro_batch=2)))


def validated(root: Path) -> None:
    """The main process scores while the others wait; neither changes the weights."""
    whole = finished(Training(root / "whole", 1))
    recipe = {"validate_every": 5, "validation_images": 1, "keep_last": 1}
    tables = []
    for count in (1, 2):
        training = finished(Training(root / f"by {count}", count, **recipe))
        tables.append(pd.read_csv(training.folder / VALIDATION_FILE))
        for name in ("model.15.safetensors", BEST_FILE, VALIDATION_FILE, PICTURE_FILE):
            (training.folder / name).unlink()
        check_equal(whole, training)
    assert tables[0]["iteration"].tolist() == [5, 10, 15, 20]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


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
    for scenario in (
        equal,
        validated,
        killed,
        interrupted,
        lost,
        full_disk,
        unreadable,
        refused,
        diverged,
    )
}

if __name__ == "__main__":
    name, place = sys.argv[1:]
    torch.set_num_threads(1)
    SCENARIOS[name](Path(place))
