"""Errors and warnings about data sets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from eamamba.config import EAMambaError


class DatasetWarning(UserWarning):
    """Part of a data set was skipped on purpose; the message says what."""


class DatasetError(EAMambaError):
    """A data set that is missing or incomplete; one line lists every problem found.

    Attributes
    ----------
    problems : tuple of str
        The same problems, one by one.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)


class PatchError(DatasetError):
    """An image to cut a patch from cannot be read; one line, also from a loader's worker."""

    def __init__(self, message: str) -> None:
        # torch recreates a worker's error from the text of its traceback, which ends in our line
        name = f"{type(self).__module__}.{type(self).__qualname__}: "
        super().__init__(message.strip().splitlines()[-1].removeprefix(name))


@contextmanager
def as_dataset_error(location: object) -> Iterator[None]:
    """Turn an `OSError` on reading a folder into `DatasetError`."""
    try:
        yield
    except OSError as error:
        where, reason = error.filename or location, error.strerror or error
        raise DatasetError(f"{where}: cannot be read ({reason}); check its permissions") from None


def raise_problems(source: object, problems: Sequence[str]) -> None:
    """Raise `DatasetError` with all problems in one line, if there are any."""
    if problems:
        text = f"{source}: {len(problems)} problem(s): {'; '.join(problems)}"
        raise DatasetError(text, problems)


def warn_skipped(notes: Iterable[str]) -> None:
    """Warn about what was skipped."""
    for note in notes:
        warnings.warn(note, DatasetWarning, stacklevel=2)
