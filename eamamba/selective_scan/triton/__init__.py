"""The selective scan on CUDA: `backend`, and the Triton kernels that it runs."""

from __future__ import annotations

from eamamba.selective_scan.triton.backend import (
    CONFIGS,
    Config,
    Tile,
    available,
    backward,
    forward,
    state_size,
)

__all__ = ["CONFIGS", "Config", "Tile", "available", "backward", "forward", "state_size"]
