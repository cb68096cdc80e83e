"""Errors and warnings about weights files."""

from __future__ import annotations

from eamamba.config import EAMambaError


class CheckpointError(EAMambaError, ValueError):
    """A weights file is missing, damaged, unsafe or for another network."""


class CheckpointWarning(UserWarning):
    """Something in a file was ignored or assumed on purpose; the message says what."""
