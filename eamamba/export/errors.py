"""What can go wrong in an export."""

from __future__ import annotations

from eamamba.config import EAMambaError


class ExportError(EAMambaError):
    """A network cannot be exported, or what was exported computes something else."""
