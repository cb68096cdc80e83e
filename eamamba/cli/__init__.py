"""The command line: ``eamamba restore | train | evaluate | complexity | receptive-field | data``.

Commands import what they need when they run, so that ``eamamba --help`` is quick. Whatever a
user can mend ends in one line on standard error and exit status 2.
"""

from __future__ import annotations

from eamamba.cli.program import main

__all__ = ["main"]
