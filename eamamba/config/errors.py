"""Errors a user can mend, and the suggestions in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EAMambaError(Exception):
    """Root of the errors a user can mend; its text is one line: what came, what to do."""

    def _render_traceback_(self) -> list[str]:
        """Say it in one line in Jupyter too, which calls this instead of printing a traceback."""
        return [f"error: {self}"]


class SettingsError(EAMambaError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a misspelt name, or the known ones."""
    near = difflib.get_close_matches(name, list(known), n=1)
    if not near:
        near = [k for k in known if k.lower().replace("_", "") == name.lower().replace("_", "")]
    return f" (did you mean {near[0]!r}?)" if near else f"; known: {', '.join(sorted(known))}"


# What the allocators and thread starters of the C library, PyTorch, NumPy, OpenCV, LLVM and CUDA
# say; every one of these is an ordinary error of its kind.
_MEMORY_WORDS = (
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
    """Tell whether memory ran out, whichever library found it so.

    An error that another one brought about counts as that one: half an import, for example.
    """
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
