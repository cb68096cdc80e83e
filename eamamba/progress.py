"""Progress bars that move in a terminal, and leave a line a minute in a file."""

from __future__ import annotations

import os
import sys
from typing import Any

VARIABLE = "EAMAMBA_PROGRESS"
_MINUTE_S = 60


def how_to_show(seconds: float = 0.1) -> dict[str, Any]:
    """Return the options of a tqdm bar for where standard error goes.

    A terminal or a notebook gets a bar that moves in its place. Anything else, such as a file,
    gets one line a minute and nothing of what takes less; the variable ``EAMAMBA_PROGRESS``
    (``bar`` or ``lines``) decides otherwise.

    Parameters
    ----------
    seconds : float
        Shortest time between two looks of a moving bar.
    """
    live = sys.stderr.isatty() or "ipykernel" in sys.modules
    if os.environ.get(VARIABLE, "bar" if live else "lines") == "bar":
        return {"mininterval": seconds}
    return {
        "file": _Lines(),
        "delay": _MINUTE_S,
        "mininterval": _MINUTE_S,
        "maxinterval": 2 * _MINUTE_S,
    }


class _Lines:
    """Standard error, with a line for each look of a bar instead of carriage returns."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()
