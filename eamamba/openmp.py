"""How threads of OpenMP wait for work; to be chosen before PyTorch is loaded, or not at all."""

from __future__ import annotations

import os
import sys

# A thread that waits looks so often for new work before it sleeps: long enough for the next
# operator of a network, too short to keep another program from the core
# (benchmarks/openmp_waiting.py). GNU's default is 300,000.
SPIN_COUNT = 1000
_CHOSEN_BY = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY")


def share_cores() -> None:
    """Let idle threads of GNU's OpenMP sleep soon, in this process and those that it starts.

    Does nothing if the user chose how they wait, or if PyTorch is loaded: only its loading reads
    the choice. Programs call this; a library leaves the process to its user.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _CHOSEN_BY):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
