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
