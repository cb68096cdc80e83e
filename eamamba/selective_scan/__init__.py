"""The selective scan: one operator, several backends.

``reference`` is the readable loop, ``cpu`` the fast kernel for CPUs, ``triton`` and ``mamba_ssm``
run on CUDA. Nothing is imported or compiled until a backend is first used.
"""

from __future__ import annotations

from eamamba.selective_scan.operator import (
    BACKENDS,
    Backend,
    BackendError,
    backend_problem,
    selective_scan,
)
from eamamba.selective_scan.projected import can_project, projected_scan

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendError",
    "backend_problem",
    "can_project",
    "projected_scan",
    "selective_scan",
]
