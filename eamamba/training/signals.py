"""Ctrl-C, SIGTERM and a closed terminal: training ends between two steps."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from eamamba.training.errors import TrainingInterrupted

# Windows has no SIGHUP.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Signals:
    """While active, the first signal raises `TrainingInterrupted`, but never during a `step`.

    A second signal has its usual effect. Signals that are ignored, such as SIGHUP under ``nohup``,
    stay ignored. Outside the main thread, where Python allows no handlers, nothing changes.

    Parameters
    ----------
    noted_only : bool
        Raise nothing and record every signal in `received`: several processes get signals at
        different times, some twice from their launcher, and have to end after the same step.

    Attributes
    ----------
    received : int
        Number of the received signal; 0 for none.
    """

    def __init__(self, *, noted_only: bool = False) -> None:
        self.noted_only = noted_only
        self.received = 0
        self._usual: dict[int, Any] = {}
        self._in_step = False

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            usual = {number: signal.getsignal(number) for number in SIGNALS}
            self._usual = {n: handler for n, handler in usual.items() if handler != signal.SIG_IGN}
            for number in self._usual:
                signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}

    @contextmanager
    def step(self) -> Iterator[None]:
        """Let work that must not be interrupted finish first."""
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        if self.received and not self.noted_only:
            raise TrainingInterrupted(self.received)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self.noted_only:
            return
        self.__exit__()
        if not self._in_step:
            raise TrainingInterrupted(number)


def leave_to_parent(_worker: int) -> None:
    """In a process that loads data: leave signals and inherited objects to the training.

    Destroying an inherited CUDA graph, such as that of an earlier training, would end the process.
    """
    gc.freeze()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
