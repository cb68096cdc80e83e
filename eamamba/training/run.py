"""A whole training run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from eamamba.checkpoint import load_model, save_model
from eamamba.config import EAMambaError, SettingsError, Stage, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.datasets import training_patches
from eamamba.files import remove_leftovers
from eamamba.heap import reuse_large_blocks
from eamamba.network import build
from eamamba.training.errors import NotFiniteError, TrainingError, TrainingInterrupted
from eamamba.training.folder import WEIGHTS_FILE, refuse_finished, reserved
from eamamba.training.record import data_hash, record
from eamamba.training.signals import Signals, leave_to_parent
from eamamba.training.states import States
from eamamba.training.trainer import Trainer, accelerator_for
from eamamba.training.watch import CURVE_FILE, Watch


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
        training is unfinished, its last two states. One training at a time has it.
    device : str
        ``cpu`` or ``cuda``.
    resume : bool
        Resume from ``training_state.pt`` if it is there; else start anew, and replace what a
        finished training left.
    progress : bool
        Show a progress bar on standard error, and where the training resumes.
    time_limit_s : float, optional
        Stop, resumable, after so many seconds.

    Returns
    -------
    Path or None
        The weights file; None if the time limit ended the run first.

    Raises
    ------
    SettingsError
        If an interrupted run with other settings or images is in the way.
    TrainingError
        If finished weights or another training are, if this one diverges, or if the machine has
        too little memory for it.
    TrainingInterrupted
        On Ctrl-C, SIGTERM or SIGHUP, once the state is saved.
    DatasetError
        If the training photographs are not there.
    """
    reuse_large_blocks()
    accelerator = accelerator_for(settings.training, device)
    data = data_hash(settings.data)  # before anything is touched: there may be no such folder
    with reserved(output) if accelerator.is_main_process else nullcontext():
        states = States(output, settings, data)
        if resume and not states.exist:
            refuse_finished(output)
            resume = False
        states.remove_leftovers()
        for name in (CURVE_FILE, WEIGHTS_FILE):
            remove_leftovers(output / name)
        trainer = begin(settings, accelerator, states if resume else None)
        if resume and progress:
            print(f"Resuming from iteration {trainer.iteration}", file=sys.stderr)
        if not _run(trainer, settings, states, progress, time_limit_s):
            return None
        weights = output / WEIGHTS_FILE
        if accelerator.is_main_process:
            extra = record(settings, trainer.iteration, data)
            save_model(trainer.averaged, weights, task=settings.task, extra=extra)
            states.remove()
    return weights


def begin(settings: TaskSettings, accelerator: Accelerator, states: States | None) -> Trainer:
    """Return a trainer at the beginning, or where the states on disk end."""
    torch.manual_seed(settings.training.seed)
    start = settings.training.initial_weights
    model = load_model(start) if start and states is None else build(settings.model)
    if model.settings != settings.model:
        raise SettingsError(f"training.initial_weights: {start} is not of the model to train")
    trainer = Trainer(model, settings.training, accelerator)
    if states is not None:
        states.load(trainer)
    return trainer


def _run(
    trainer: Trainer,
    settings: TaskSettings,
    states: States,
    progress: bool,
    time_limit_s: float | None,
) -> bool:
    """Make all steps that are left, and return whether there was time for them."""
    begun = trainer.iteration
    with Watch(trainer, settings, states, progress, time_limit_s) as watch, Signals() as signals:
        try:
            for stage, loader in stage_loaders(settings, begun, trainer.accelerator):
                for batch in loader:
                    with signals.step():
                        _step(trainer, watch, states, stage, batch)
                    if watch.out_of_time:
                        states.save(trainer)
                        return False
        except TrainingInterrupted as stop:
            text = "interrupted before the first step; nothing to save"
            if trainer.iteration > begun:
                states.save(trainer)
            if trainer.iteration:
                text = (
                    f"interrupted at iteration {trainer.iteration} of "
                    f"{settings.training.iterations}; saved in {states.latest}; "
                    "run the same again, without --fresh, to resume"
                )
            raise TrainingInterrupted(stop.number, text) from None
        except Exception as error:
            if (reason := _lacking(error, settings)) is None:
                raise
            where = f"{settings.task}: iteration {trainer.iteration + 1}"
            raise TrainingError(f"{where}: {reason}") from None
    return True


def _lacking(error: Exception, settings: TaskSettings) -> str | None:
    """Say what the machine has too little of; None for another error."""
    if "DataLoader worker" in str(error):  # the system ended it, for whatever reason
        return (
            "a process that loads images was ended, often for want of memory; "
            f"lower data.workers (now {settings.data.workers})"
        )
    if isinstance(error, EAMambaError) or not ran_out_of_memory(error):
        return None
    return "not enough memory; lower batch or patch in training.stages, or data.workers"


def _step(
    trainer: Trainer, watch: Watch, states: States, stage: Stage, batch: tuple[Tensor, Tensor]
) -> None:
    """Make one step; if it diverges, keep what shows why."""
    degraded, clean = batch
    iteration = trainer.iteration + 1
    try:
        watch.after(*trainer.step(degraded, clean), stage)
    except NotFiniteError as error:
        raise states.keep_diverged(trainer, error, iteration, (degraded, clean)) from None


def stage_loaders(
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
        loader = DataLoader(  # unpinned: a pinning thread would break a CUDA graph's capture
            patches,
            stage.batch,
            sampler=range(skipped * stage.batch, len(patches)),
            num_workers=settings.data.workers,
            worker_init_fn=leave_to_parent,
        )
        yield stage, accelerator.prepare(loader)
