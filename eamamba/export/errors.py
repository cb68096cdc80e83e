"""The error of an export."""

from __future__ import annotations

from eamamba.config import EAMambaError


class ExportError(EAMambaError):
    """A network cannot be exported, or the exported file computes something different."""
