"""Why a training stops before its end."""

from __future__ import annotations

from eamamba.config import EAMambaError


class TrainingError(EAMambaError):
    """A training cannot start or cannot go on."""


class LocalTrainingError(TrainingError):
    """What ends one of several processes, without the others knowing why."""

    local = True


class NotFiniteError(ArithmeticError):
    """A step gave a loss, a gradient or weights that are no numbers.

    Parameters
    ----------
    what : str
        Such as ``the loss became nan``.
    changed_weights : bool
        Whether the weights may no longer be those before the step.
    """

    def __init__(self, what: str, *, changed_weights: bool = False) -> None:
        super().__init__(what)
        self.changed_weights = changed_weights


class TrainingInterrupted(KeyboardInterrupt):
    """A signal has ended a training; its text says what was saved and how to resume.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int, text: str = "interrupted") -> None:
        super().__init__(text)
        self.number = number
