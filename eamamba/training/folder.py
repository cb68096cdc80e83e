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
    """Keep a folder for this training; the system frees it when the process dies, however it does.

    Raises
    ------
    TrainingError
        Another process trains there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # a lock of the operating system, so no file that outlives its process locks anybody out
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"{folder}: another training is running there; wait for its end, or choose another "
            "folder with --output"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            (folder / LOCK_FILE).unlink()
        lock.release()


def is_free(folder: Path) -> bool:
    """Tell whether no process trains there."""
    try:
        with reserved(folder):
            return True
    except TrainingError:
        return False


def refuse_finished(folder: Path) -> None:
    """Raise `TrainingError` where finished weights are."""
    weights = folder / WEIGHTS_FILE
    if weights.is_file():
        raise TrainingError(
            f"{weights}: finished weights are here; start anew with --fresh to replace them, or "
            "choose another folder with --output"
        )
