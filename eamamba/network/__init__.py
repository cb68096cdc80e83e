"""The paper's networks: EAMamba, a U-Net, and EAMambaSR for light super-resolution.

`models` builds blocks from `layers` and `multi_head_scan`. The latter computes its projections in
raster order and passes the tensors, with an order from `scan_order`, to `eamamba.selective_scan`.
"""

from __future__ import annotations

from eamamba.network.models import (
    EAMamba,
    EAMambaSR,
    MambaFormerBlock,
    Network,
    build,
    load_kernels,
    set_backend,
    set_recomputed,
)
from eamamba.network.multi_head_scan import MultiHeadScan

__all__ = [
    "EAMamba",
    "EAMambaSR",
    "MambaFormerBlock",
    "MultiHeadScan",
    "Network",
    "build",
    "load_kernels",
    "set_backend",
    "set_recomputed",
]
