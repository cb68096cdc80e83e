"""``python -m eamamba`` is ``eamamba``."""

from __future__ import annotations

import sys

from eamamba.cli import main

if __name__ == "__main__":
    sys.exit(main())
