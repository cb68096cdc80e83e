"""Reasons why training stops early."""

from __future__ import annotations

from eamamba.config import EAMambaError


class TrainingError(EAMambaError):
    """Training cannot start or continue."""


class LocalTrainingError(TrainingError):
    """An error in one of several processes that the others do not know of."""

    local = True


class NotFiniteError(ArithmeticError):
    """A step produced a loss, a gradient or weights that are NaN or infinite.

    Parameters
    ----------
    what : str
        Such as ``the loss became nan``.
    changed_weights : bool
        Whether the weights may differ from those before the step.
    """

    def __init__(self, what: str, *, changed_weights: bool = False) -> None:
        super().__init__(what)
        self.changed_weights = changed_weights


class TrainingInterrupted(KeyboardInterrupt):
    """A signal ended the training; the message says what was saved and how to resume.

    Attributes
    ----------
    number : int
        Number of the signal.
    """

    def __init__(self, number: int, text: str = "interrupted") -> None:
        super().__init__(text)
        self.number = number
