"""The selective scan on CPUs: `backend`, and the Numba kernels that it runs."""

from __future__ import annotations

from eamamba.selective_scan.cpu.backend import (
    available,
    backward,
    forward,
    forward_projected,
    load_projected,
    state_size,
)

__all__ = ["available", "backward", "forward", "forward_projected", "load_projected", "state_size"]
