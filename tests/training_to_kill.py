"""Kill a training at random moments, resume it each time, and compare with one left alone.

    python tests/training_to_kill.py FOLDER KILLS

A process of its own, so that the trainings can be forked from one that has imported and compiled
everything; it must compute with one thread (OMP_NUM_THREADS=1), or forking is not allowed. Prints
how often a training was killed and how often it finished. Fails if its weights, its curve or its
validation ever differ from those of a training left alone.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_training import FINISHED, WEIGHTS, contents, names, tiny

from eamamba.training import train
from eamamba.training.kept import BEST_FILE
from eamamba.training.validation import PICTURE_FILE, VALIDATION_FILE

SETTINGS = tiny(
    10,
    data={"held_out_size": 32},
    checkpoint_every=1,
    keep_last=2,
    log_every=3,
    validate_every=4,
    validation_images=1,
)
WATCHED = {BEST_FILE, VALIDATION_FILE, PICTURE_FILE, "model.8.safetensors", "model.9.safetensors"}


def start(folder: Path) -> int:
    """Train in a forked process and return its number."""
    child = os.fork()
    if child == 0:
        try:
            train(SETTINGS, folder, progress=False)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """Wait for a process; a negative number is the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def results(folder: Path) -> dict[str, bytes]:
    """Return what a finished training leaves, and nothing else."""
    assert names(folder) == FINISHED | WATCHED, names(folder)
    return contents(folder)


def main() -> None:
    """See above."""
    root, kills = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    train(tiny(1), root / "warm up", progress=False)
    began = time.monotonic()
    assert ended(start(root / "whole")) == 0
    duration_s = time.monotonic() - began
    expected = results(root / "whole")
    moments, killed, finished = random.Random(0), 0, 0
    while killed < kills or finished == 0:
        folder = root / f"parts {finished}"
        child = start(folder)
        if killed < kills:
            time.sleep(moments.uniform(0, duration_s))
            os.kill(child, signal.SIGKILL)
        status = ended(child)
        killed += status == -signal.SIGKILL
        assert status in (0, -signal.SIGKILL), status
        if status == 0:
            assert results(folder) == expected, folder
        if (folder / WEIGHTS).exists():  # also if the signal came after they were written
            written = {name: (folder / name).read_bytes() for name in expected}
            assert written == expected, folder
            finished += 1
    print(f"{killed} times killed, {finished} times finished")


if __name__ == "__main__":
    main()
