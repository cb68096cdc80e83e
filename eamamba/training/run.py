"""A complete training run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import Accelerator

from eamamba.checkpoint import load_model
from eamamba.config import EAMambaError, SettingsError, Stage, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.files import remove_leftovers
from eamamba.heap import reuse_large_blocks
from eamamba.network import EAMamba, build
from eamamba.training.board import check_installed
from eamamba.training.errors import (
    LocalTrainingError,
    NotFiniteError,
    TrainingError,
    TrainingInterrupted,
)
from eamamba.training.folder import WEIGHTS_FILE, is_free, refuse_finished, reserved
from eamamba.training.kept import save_average
from eamamba.training.loaders import stage_loaders
from eamamba.training.log import Log
from eamamba.training.processes import Batch, Processes
from eamamba.training.record import data_hash
from eamamba.training.signals import Signals
from eamamba.training.states import States
from eamamba.training.trainer import Trainer, accelerator_for
from eamamba.training.two_views import for_two_views
from eamamba.training.validation import check_images
from eamamba.training.watch import CURVE_FILE, WATCHED, Watch


def train(
    settings: TaskSettings,
    output: Path,
    *,
    device: str = "cpu",
    resume: bool = True,
    progress: bool = True,
    time_limit_s: float | None = None,
    tensorboard: bool = False,
) -> Path | None:
    """Train one task and write its curve and its weights.

    If ``torchrun`` starts several processes, they share each batch; only the first one reads states
    and writes, and a failure of one ends all. The result is that of a single process, except for
    the rounding of sums.

    Parameters
    ----------
    settings : TaskSettings
        Model, data and recipe.
    output : Path
        Folder for ``training.csv`` (rewritten at every logged step, so it can be watched),
        ``training.log`` (the same in words and with times; every run appends to it),
        ``model.safetensors`` (the EMA weights, at the end) and, while the training is unfinished,
        its last two states. ``training.keep_last`` adds ``model.ITERATION.safetensors``, and
        ``training.validate_every`` adds ``validation.csv``, ``validation.jpg`` and
        ``best.safetensors``. Only one training at a time may use it.
    device : str
        ``cpu``, ``cuda`` or, for a single process, a device such as ``cuda:1``.
    resume : bool
        Resume from ``training_state.pt`` if it exists; otherwise start over, and replace the
        results of a finished training.
    progress : bool
        Show a progress bar on standard error, and where the training resumes.
    time_limit_s : float, optional
        Stop after this many seconds, so that the training can be resumed.
    tensorboard : bool
        Write the curves, scores and pictures for TensorBoard too, to the subfolder ``tensorboard``.

    Returns
    -------
    Path or None
        The weights file; None if the time limit ended the run first.

    Raises
    ------
    SettingsError
        If the folder has an interrupted run with other settings or images, or there are more
        processes than images in a batch.
    TrainingError
        If the folder has finished weights or is in use by another training, if this one diverges,
        if there is not enough memory, if one of its processes is lost, or if TensorBoard is asked
        for and missing.
    TrainingInterrupted
        On Ctrl-C, SIGTERM or SIGHUP, once the state is saved.
    DatasetError
        If the training set, or the images to validate on, are missing.
    """
    if tensorboard:
        check_installed()
    reuse_large_blocks()
    accelerator = accelerator_for(settings.training, device)
    processes = Processes(accelerator)
    processes.check(settings)
    progress = progress and processes.is_main
    # before anything is changed: the folder may be missing
    data = processes.from_main(lambda: _check_data(settings))
    with ExitStack() as reservation:

        def prepare() -> bool:
            reservation.enter_context(reserved(output))
            return _clear(states, resume)

        states = States(output, settings, data)
        resume = processes.from_main(prepare)
        log = Log(output, processes.is_main)
        reservation.enter_context(log.with_reason())
        trainer = begin(settings, accelerator, processes, states if resume else None)
        with Watch(trainer, processes, states, log, progress, time_limit_s, tensorboard) as watch:
            if not _run(trainer, processes, watch, states):
                log.write(f"ended: time limit at iteration {trainer.iteration}")
                return None
        with processes.together():
            if processes.is_main:
                save_average(trainer, states, WEIGHTS_FILE)
                states.remove()
        log.write(f"finished: {output / WEIGHTS_FILE}")
    return output / WEIGHTS_FILE


def _check_data(settings: TaskSettings) -> str:
    """Return the hash of the training set; whatever images are missing are noticed here."""
    check_images(settings)
    return data_hash(settings.data)


def _clear(states: States, resume: bool) -> bool:
    """Remove temporary files of killed writes, and return whether there is a state to resume."""
    if resume and not states.exist:
        refuse_finished(states.folder)
        resume = False
    states.remove_leftovers()
    for name in (CURVE_FILE, WEIGHTS_FILE, *WATCHED):
        remove_leftovers(states.folder / name)
    return resume


def begin(
    settings: TaskSettings, accelerator: Accelerator, processes: Processes, states: States | None
) -> Trainer:
    """Return a new trainer, or one resumed from the states on disk."""
    torch.manual_seed(settings.training.seed)
    start = settings.training.initial_weights
    model = load_model(start) if start and states is None else build(settings.model)
    channels = model.settings.inp_channels, settings.model.inp_channels
    if isinstance(model, EAMamba) and channels == (3, 6):
        model = for_two_views(model)
    if model.settings != settings.model:
        raise SettingsError(f"training.initial_weights: {start} does not fit the model to train")
    trainer = Trainer(model, settings.training, accelerator)
    if states is not None:
        state = processes.from_main(lambda: states.load(trainer))
        if not processes.is_main:
            trainer.load_state_dict(state)
    return trainer


def _run(
    trainer: Trainer,
    processes: Processes,
    watch: Watch,
    states: States,
) -> bool:
    """Run all remaining steps, and return whether there was time for them."""
    begun, settings = trainer.iteration, states.settings
    with Signals(noted_only=processes.count > 1) as signals:
        try:
            for stage, loader in stage_loaders(trainer, processes, settings):
                for batch in processes.batches(loader):
                    with signals.step():
                        _step(trainer, processes, watch, states, stage, batch)
                    stop, late = processes.highest(signals.received, watch.out_of_time)
                    if stop:
                        raise TrainingInterrupted(stop)
                    if late:
                        watch.save()
                        return False
        except TrainingInterrupted as stop:
            if trainer.iteration > begun:
                watch.save()
            raise TrainingInterrupted(stop.number, _resumable(trainer, states)) from None
        except Exception as error:
            if processes.lost(error):
                raise _alone(trainer, states, begun) from None
            if (reason := _lacking(error, settings)) is None:
                raise
            where = f"{settings.task}: iteration {trainer.iteration + 1}"
            kind = TrainingError if processes.is_main else LocalTrainingError
            raise kind(f"{where}: {reason}") from None
    return True


def _resumable(trainer: Trainer, states: States) -> str:
    """Say where an interrupted training stands."""
    if not trainer.iteration:
        return "interrupted before the first step; nothing to save"
    return (
        f"interrupted at iteration {trainer.iteration} of {trainer.settings.iterations}; saved in "
        f"{states.latest}; run the same again, without --fresh, to resume"
    )


def _alone(trainer: Trainer, states: States, begun: int) -> TrainingError:
    """Save the state after another process is lost, and return the error to raise.

    Processes exchange nothing between the update of the weights and the end of a step, so the
    weights are consistent. If the main process is lost, its reservation is too, and another
    process reports.
    """
    if trainer.accelerator.is_main_process and trainer.iteration > begun:
        states.save(trainer)
    kind = TrainingError
    if not trainer.accelerator.is_main_process and is_free(states.folder):
        kind = LocalTrainingError
    return kind(
        f"{states.settings.task}: iteration {trainer.iteration + 1}: another process of this "
        f"training was lost; run the same again to resume from {states.latest}, where it is"
    )


def _lacking(error: Exception, settings: TaskSettings) -> str | None:
    """Return what the machine lacks; None for other errors."""
    if "DataLoader worker" in str(error):  # the system killed it, for any reason
        return (
            "a process that loads images was killed, often for lack of memory; "
            f"lower data.workers (now {settings.data.workers})"
        )
    if isinstance(error, EAMambaError) or not ran_out_of_memory(error):
        return None
    return "not enough memory; lower batch or patch in training.stages, or data.workers"


def _step(
    trainer: Trainer,
    processes: Processes,
    watch: Watch,
    states: States,
    stage: Stage,
    batch: Batch,
) -> None:
    """Run one step; if it diverges, save what shows why."""
    degraded, clean = batch
    iteration = trainer.iteration + 1
    try:
        watch.after(*trainer.step(degraded, clean), stage)
    except NotFiniteError as error:
        whole = processes.whole(batch)
        with processes.together():
            raise states.keep_diverged(trainer, error, iteration, whole) from None
