"""Several processes for one command, as ``torchrun`` or Slurm launch them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_main_process() -> bool:
    """Tell whether this process speaks to the user: the only one, or the first of several."""
    return process_number() == 0


def process_number() -> int:
    """Return which of the processes of this command this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Return how many processes work on this command."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this process, where several of a machine take one each."""
    import torch

    shared = device == torch.device("cuda") and process_count() > 1
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if shared else device


def wait_for_all(device: torch.device) -> None:
    """Wait until all processes are here, or one of them is lost."""
    from accelerate import PartialState

    with suppress(RuntimeError):  # of the connection: the others go on without it
        PartialState(cpu=device.type == "cpu").wait_for_everyone()
