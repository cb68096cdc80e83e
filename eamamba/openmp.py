"""How OpenMP threads wait for work, which can be set only before PyTorch is loaded."""

from __future__ import annotations

import os
import sys

# How often a waiting thread checks for new work before it sleeps: long enough for the next operator
# of a network, too short to keep another program from the core (benchmarks/openmp_waiting.py).
# GNU's default is 300,000.
SPIN_COUNT = 1000
_CHOSEN_BY = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY")


def share_cores() -> None:
    """Let idle threads of GNU OpenMP sleep soon, in this process and its children.

    Does nothing if the user has chosen how they wait, or if PyTorch, which reads the choice on
    loading, is already loaded. For programs only: a library should not change the process.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _CHOSEN_BY):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
