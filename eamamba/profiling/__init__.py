"""The size of a network and the cost of a forward pass (paper section 4, complexity).

FLOPs are counted as the paper counts them: one multiply-add = 1 FLOP.
"""

from __future__ import annotations

from eamamba.profiling.counted import (
    DOUBLING_SIZES,
    KINDS,
    PAPER_NETWORKS,
    Complexity,
    Layer,
    baseline_2dssm,
    complexity,
    complexity_by_size,
    layers,
)
from eamamba.profiling.measured import ForwardCost, ProfilingError, measure_memory

__all__ = [
    "DOUBLING_SIZES",
    "KINDS",
    "PAPER_NETWORKS",
    "Complexity",
    "ForwardCost",
    "Layer",
    "ProfilingError",
    "baseline_2dssm",
    "complexity",
    "complexity_by_size",
    "layers",
    "measure_memory",
]
