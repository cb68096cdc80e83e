"""Progress bars that move in a terminal and write one line a minute to a file."""

from __future__ import annotations

import os
import sys
from typing import Any

VARIABLE = "EAMAMBA_PROGRESS"
_MINUTE_S = 60


def bar_options(seconds: float = 0.1) -> dict[str, Any]:
    """Return the options of a tqdm bar that suit where standard error goes.

    A terminal or a notebook gets a moving bar. Anything else, such as a file, gets one line a
    minute, and none in the first minute. The variable ``EAMAMBA_PROGRESS`` (``bar`` or ``lines``)
    overrides this.

    Parameters
    ----------
    seconds : float
        Shortest time between two updates of a moving bar.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None where it is closed
    live = terminal or "ipykernel" in sys.modules
    if os.environ.get(VARIABLE, "bar" if live else "lines") == "bar":
        return {"mininterval": seconds}
    return {
        "file": _Lines(),
        "delay": _MINUTE_S,
        "mininterval": _MINUTE_S,
        "maxinterval": 2 * _MINUTE_S,
    }


class _Lines:
    """Standard error, with a line for each update of a bar instead of carriage returns."""

    def write(self, text: str) -> None:
        if sys.stderr is not None and (line := text.strip()):
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
