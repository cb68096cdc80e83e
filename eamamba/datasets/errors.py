"""The errors and the warning of everything that is wrong with a data set."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from eamamba.config import EAMambaError


class DatasetWarning(UserWarning):
    """Something in a data set was left out, on purpose and said here."""


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


class PatchError(DatasetError):
    """An image that a patch was to be cut from cannot be read; one line, from a worker too."""

    def __init__(self, message: str) -> None:
        # torch makes a worker's error anew from the text of its traceback, which ends in our line
        name = f"{type(self).__module__}.{type(self).__qualname__}: "
        super().__init__(message.strip().splitlines()[-1].removeprefix(name))


@contextmanager
def readable(place: object) -> Iterator[None]:
    """Turn the system's refusal to look into a folder into `DatasetError`."""
    try:
        yield
    except OSError as error:
        where, reason = error.filename or place, error.strerror or error
        raise DatasetError(f"{where}: cannot be read ({reason}); check its permissions") from None


def refuse(source: object, problems: Sequence[str]) -> None:
    """Raise `DatasetError` with all problems in one line, if there are any."""
    if problems:
        text = f"{source}: {len(problems)} problem(s): {'; '.join(problems)}"
        raise DatasetError(text, problems)


def say(notes: Iterable[str]) -> None:
    """Warn of what was left out."""
    for note in notes:
        warnings.warn(note, DatasetWarning, stacklevel=2)
