"""The command line: ``eamamba restore | models | score | export | train | evaluate | …``.

Commands import what they need when they run, which keeps ``eamamba --help`` fast. An error that the
user can fix is reported as one line on standard error, with exit status 2.
"""

from __future__ import annotations

from eamamba.cli.program import main

__all__ = ["main"]
