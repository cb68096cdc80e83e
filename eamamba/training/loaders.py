"""The images of each stage of a training."""

from __future__ import annotations

from collections.abc import Iterator

from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from eamamba.config import Stage, TaskSettings
from eamamba.datasets import training_patches
from eamamba.training.memory import fitting_cut
from eamamba.training.processes import Processes
from eamamba.training.signals import leave_to_parent
from eamamba.training.trainer import Trainer


def stage_loaders(
    trainer: Trainer, processes: Processes, settings: TaskSettings
) -> Iterator[tuple[Stage, DataLoader]]:
    """Yield each unfinished stage with a loader over this process's share of what is left.

    The images of an iteration depend only on the seed and its number, not on the process.
    """
    done, device = trainer.iteration, trainer.accelerator.device
    for number, stage in enumerate(settings.training.stages):
        skipped = min(done, stage.iterations)
        done -= skipped
        if skipped == stage.iterations:
            continue
        seed = settings.training.seed + 1_000_003 * number
        patches = training_patches(settings.data, stage.patch, stage.batch * stage.iterations, seed)
        loader = DataLoader(  # unpinned: a pinning thread would break a CUDA graph's capture
            patches,
            batch_sampler=processes.shares(range(skipped * stage.batch, len(patches)), stage.batch),
            num_workers=settings.data.workers,
            worker_init_fn=leave_to_parent,
        )
        cut = fitting_cut(settings, stage, processes.count, processes.free_bytes())
        trainer.begin_stage(stage.batch, cut.micro_batch, cut.recomputed)
        # the processes share each batch already
        yield (
            stage,
            prepare_data_loader(
                loader, device, num_processes=1, process_index=0, put_on_device=True
            ),
        )
