"""What is wrong with a weights file, and what was left out of it."""

from __future__ import annotations

from eamamba.config import EAMambaError


class CheckpointError(EAMambaError, ValueError):
    """A weights file is missing, damaged, hostile or for another network."""


class CheckpointWarning(UserWarning):
    """Something in a file was ignored or assumed, on purpose and said here."""
