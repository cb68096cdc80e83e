"""Several processes for one command, as ``torchrun`` or Slurm launch them."""

from __future__ import annotations

import os


def is_main_process() -> bool:
    """Tell whether this process speaks to the user: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def process_count() -> int:
    """Return how many processes work on this command."""
    return int(os.environ.get("WORLD_SIZE", "1"))
