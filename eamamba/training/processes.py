"""What the processes of one training agree on; a single process has nobody to ask."""

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
        How many they are, and which of them this one is.
    is_main : bool
        Whether this is the one that reads states, writes files and speaks to the user.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.count, self.index = accelerator.num_processes, accelerator.process_index
        self.is_main = accelerator.is_main_process
        # said of the convolutions of one row, whose gradients take no time worth saving
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let an error of one process be an error of all, so that none waits for it in vain."""
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
        """Return what a function returns in the main process, where alone it is called."""
        box: list[T | None] = [None]
        with self.together():
            if self.is_main:
                box = [act()]
        (result,) = broadcast_object_list(box)
        return result

    def highest(self, *values: int) -> tuple[int, ...]:
        """Return the highest of each number over all processes."""
        if self.count == 1:
            return values
        own = torch.tensor([values], device=self._accelerator.device)
        return tuple(self._accelerator.gather(own).amax(0).tolist())

    def batches(self, loader: DataLoader) -> Iterator[Batch]:
        """Yield what a loader yields; what hinders one process from loading ends them all."""
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
        """Return the images that this process takes of each batch, as equally many as can be.

        Parameters
        ----------
        images : range
            Of all batches.
        batch : int
            How many images all processes take together.
        """
        first, end = (batch * index // self.count for index in (self.index, self.index + 1))
        starts = range(0, len(images), batch)
        # ranges, which take no memory: a training has millions of images
        return [cast(list[int], images[start + first : start + end]) for start in starts]

    def free_bytes(self) -> int:
        """Return the memory that this process may use of its device."""
        device = self._accelerator.device
        sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
        return free_memory(device) // sharing

    def check(self, settings: TaskSettings) -> None:
        """Raise `SettingsError` if some stage has fewer images in a batch than processes."""
        smallest = min(stage.batch for stage in settings.training.stages)
        if smallest < self.count:
            raise SettingsError(
                f"training.stages: a batch of {smallest} for {self.count} processes; expected at "
                f"least one image for each: start {smallest} at most, or enlarge the batch"
            )

    def lost(self, error: Exception) -> bool:
        """Tell whether an error means that another process is gone."""
        words = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
        return self.count > 1 and (said or isinstance(error, DistError))

    def _for_others(self, error: Exception) -> Exception:
        if isinstance(error, EAMambaError | OSError):
            return error
        return TrainingError(f"process {self.index}: {type(error).__name__}: {error}")
