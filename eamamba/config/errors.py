"""Errors that a user can fix, and the suggestions in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EAMambaError(Exception):
    """Base class of errors that a user can fix; one line says what is wrong and what to do.

    Attributes
    ----------
    local : bool
        Whether only this process knows of it, where several compute together.
    """

    local = False

    def _render_traceback_(self) -> list[str]:
        """Show one line in Jupyter, which calls this instead of printing a traceback."""
        return [f"error: {self}"]


class SettingsError(EAMambaError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a misspelt name, or the known ones."""
    near = difflib.get_close_matches(name, list(known), n=1)
    if not near:
        near = [k for k in known if k.lower().replace("_", "") == name.lower().replace("_", "")]
    return f" (did you mean {near[0]!r}?)" if near else f"; known: {', '.join(sorted(known))}"


# Messages for a lack of memory from the C library, PyTorch, NumPy, OpenCV, LLVM and CUDA, whose
# exception types do not distinguish it from other errors.
_MEMORY_MESSAGES = (
    "out of memory",
    "not enough memory",
    "insufficient memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "unable to allocate",
    "bad_alloc",
    "can't start new thread",
    "failed to map segment",
)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, from any library, means that memory ran out.

    The errors that caused it count too: a failed import may be due to a lack of memory.
    """
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(message in text for message in _MEMORY_MESSAGES):
            return True
        error = error.__cause__ or error.__context__
    return False
