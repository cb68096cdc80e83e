"""The folder of a training's results: one training at a time, and no finished one is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from eamamba.training.errors import TrainingError

WEIGHTS_FILE = "model.safetensors"
LOCK_FILE = ".training.lock"


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Reserve a folder for this training; the system releases it when the process ends.

    Raises
    ------
    TrainingError
        Another process is training there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # a lock of the operating system, so that no file left by a dead process blocks others
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"{folder}: another training is running there; wait until it ends, or choose another "
            "folder with --output"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file
            (folder / LOCK_FILE).unlink()
        lock.release()


def is_free(folder: Path) -> bool:
    """Return whether no process is training there."""
    try:
        with reserved(folder):
            return True
    except TrainingError:
        return False


def refuse_finished(folder: Path) -> None:
    """Raise `TrainingError` if the folder has finished weights."""
    weights = folder / WEIGHTS_FILE
    if weights.is_file():
        raise TrainingError(
            f"{weights}: finished weights are here; start over with --fresh to replace them, or "
            "choose another folder with --output"
        )
