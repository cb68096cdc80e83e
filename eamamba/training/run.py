"""A whole training run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from eamamba.checkpoint import load_model, save_model
from eamamba.config import SettingsError, Stage, TaskSettings
from eamamba.datasets import training_patches
from eamamba.heap import reuse_large_blocks
from eamamba.network import build
from eamamba.training.trainer import Trainer, accelerator_for
from eamamba.training.watch import STATE_FILE, Watch


def train(
    settings: TaskSettings,
    output: Path,
    *,
    device: str = "cpu",
    resume: bool = True,
    progress: bool = True,
    time_limit_s: float | None = None,
) -> Path | None:
    """Train one task and write its curve and its weights.

    Parameters
    ----------
    settings : TaskSettings
        Model, data and recipe.
    output : Path
        Folder for ``training.csv`` (rewritten at every logged step, so it can be
        watched), ``model.safetensors`` (the EMA weights, at the end) and, while the
        training is unfinished, ``training_state.pt``.
    device : str
        ``cpu`` or ``cuda``.
    resume : bool
        Go on from ``training_state.pt`` if it is there.
    progress : bool
        Show a progress bar on standard error.
    time_limit_s : float, optional
        Stop, resumable, after so many seconds.

    Returns
    -------
    Path or None
        The weights file; None if the time limit ended the run first.

    Raises
    ------
    SettingsError
        If an interrupted run with other settings is in the way.
    DatasetError
        If the training photographs are not there.
    """
    reuse_large_blocks()
    accelerator = accelerator_for(settings.training, device)
    torch.manual_seed(settings.training.seed)
    start = settings.training.initial_weights
    model = load_model(start) if start else build(settings.model)
    if model.settings != settings.model:
        raise SettingsError(f"training.initial_weights: {start} is not of the model to train")
    trainer = Trainer(model, settings.training, accelerator)
    state = output / STATE_FILE
    if resume and state.is_file():
        trainer.load(state, settings)
    with Watch(trainer, settings, output, progress, time_limit_s) as watch:
        for stage, loader in _stage_loaders(settings, trainer.iteration, accelerator):
            for degraded, clean in loader:
                watch.after(*trainer.step(degraded, clean), stage)
                if watch.out_of_time:
                    trainer.save(state, settings)
                    return None
    weights = output / "model.safetensors"
    record = {"profile": settings.profile, "iterations": trainer.iteration}
    save_model(trainer.averaged, weights, task=settings.task, extra=record)
    state.unlink(missing_ok=True)
    return weights


def _stage_loaders(
    settings: TaskSettings, done: int, accelerator: Accelerator
) -> Iterator[tuple[Stage, DataLoader]]:
    """Yield each unfinished stage with a loader over what is left of it."""
    for number, stage in enumerate(settings.training.stages):
        skipped = min(done, stage.iterations)
        done -= skipped
        if skipped == stage.iterations:
            continue
        seed = settings.training.seed + 1_000_003 * number
        patches = training_patches(settings.data, stage.patch, stage.batch * stage.iterations, seed)
        loader = DataLoader(
            patches,
            stage.batch,
            sampler=range(skipped * stage.batch, len(patches)),
            num_workers=settings.data.workers,
            pin_memory=accelerator.device.type == "cuda",
        )
        yield stage, accelerator.prepare(loader)
