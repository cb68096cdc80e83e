"""The error of everything that is wrong with a data set."""

from __future__ import annotations

from eamamba.config import EAMambaError


class DatasetError(EAMambaError):
    """A data set that is not there or not whole; one line lists every problem found."""
