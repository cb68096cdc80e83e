"""Coordination of the processes of one training; trivial for a single process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed import DistError
from torch.utils.data import DataLoader

from eamamba.config import EAMambaError, SettingsError, TaskSettings
from eamamba.restore.memory import free_memory
from eamamba.training.errors import TrainingError

T = TypeVar("T")
Batch = tuple[Tensor, Tensor]


class Processes:
    """The processes that train together, each with its share of every batch.

    Parameters
    ----------
    accelerator : Accelerator

    Attributes
    ----------
    count, index : int
        Number of processes, and the index of this one.
    is_main : bool
        Whether this is the one that reads states, writes files and prints messages.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.count, self.index = accelerator.num_processes, accelerator.process_index
        self.is_main = accelerator.is_main_process
        # warned about for convolutions of one row, whose gradients take negligible time
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Turn an error in one process into an error in all, so that none waits for it forever."""
        own: Exception | None = None
        try:
            yield
        except Exception as error:
            if self.count == 1:
                raise
            own = error
        if not self.highest(own is not None)[0]:
            return
        errors = gather_object([own and self._for_others(own)])
        raise own or next(error for error in errors if error)

    def from_main(self, act: Callable[[], T]) -> T:
        """Call a function in the main process only, and return its result in all."""
        box: list[T | None] = [None]
        with self.together():
            if self.is_main:
                box = [act()]
        (result,) = broadcast_object_list(box)
        return result

    def highest(self, *values: int) -> tuple[int, ...]:
        """Return the maximum of each number over all processes."""
        if self.count == 1:
            return values
        own = torch.tensor([values], device=self._accelerator.device)
        return tuple(self._accelerator.gather(own).amax(0).tolist())

    def batches(self, loader: DataLoader) -> Iterator[Batch]:
        """Yield the batches of a loader; a failure to load in one process ends all."""
        batches = iter(loader)
        for _ in range(len(loader)):
            with self.together():
                batch = next(batches)
            yield batch

    def whole(self, batch: Batch) -> Batch:
        """Return a batch on the CPU with the shares of all processes."""
        shares = gather_object([tuple(images.cpu() for images in batch)])
        degraded, clean = (torch.cat(images) for images in zip(*shares, strict=True))
        return degraded, clean

    def shares(self, images: range, batch: int) -> list[list[int]]:
        """Return the images that this process takes from each batch, divided as evenly as possible.

        Parameters
        ----------
        images : range
            Images of all batches.
        batch : int
            Number of images that all processes take together.
        """
        first, end = (batch * index // self.count for index in (self.index, self.index + 1))
        starts = range(0, len(images), batch)
        # ranges, which take no memory: training uses millions of images
        return [cast(list[int], images[start + first : start + end]) for start in starts]

    def free_bytes(self) -> int:
        """Return the memory that this process may use on its device."""
        device = self._accelerator.device
        sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
        return free_memory(device) // sharing

    def check(self, settings: TaskSettings) -> None:
        """Raise `SettingsError` if some stage has fewer images in a batch than processes."""
        smallest = min(stage.batch for stage in settings.training.stages)
        if smallest < self.count:
            raise SettingsError(
                f"training.stages: a batch of {smallest} for {self.count} processes; expected at "
                f"least one image each: start at most {smallest}, or enlarge the batch"
            )

    def lost(self, error: Exception) -> bool:
        """Return whether an error means that another process was lost."""
        words = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
        return self.count > 1 and (said or isinstance(error, DistError))

    def _for_others(self, error: Exception) -> Exception:
        if isinstance(error, EAMambaError | OSError):
            return error
        return TrainingError(f"process {self.index}: {type(error).__name__}: {error}")
