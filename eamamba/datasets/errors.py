"""The error of everything that is wrong with a data set."""

from __future__ import annotations

from collections.abc import Sequence

from eamamba.config import EAMambaError


class DatasetError(EAMambaError):
    """A data set that is not there or not whole; one line lists every problem found.

    Attributes
    ----------
    problems : tuple of str
        The same, one by one.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)
