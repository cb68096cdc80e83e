"""Sphinx extension: brings the results of the chosen profile into the book before it is read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The book shows the results of this checkout, so it uses the code of this checkout.
sys.path.insert(0, str(ROOT))

from eamamba.report.pages import write_pages  # noqa: E402


def bring(app: Any, config: Any) -> None:
    """Fill ``book/results`` and hand the figures for running text to MyST."""
    config.myst_substitutions = write_pages(ROOT, Path(app.srcdir) / "results")


def setup(app: Any) -> dict[str, bool]:
    """Register; before the table of contents looks for its files (priority 900)."""
    app.connect("config-inited", bring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
