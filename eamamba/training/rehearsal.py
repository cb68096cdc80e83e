"""A few steps of every stage at full size, before days are spent on all of them."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from eamamba.checkpoint import load_model, save_model
from eamamba.config import DataSettings, ModelSettings, Stage, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.datasets import check
from eamamba.datasets.made_up import Size, made_up_training_set
from eamamba.profiling.measured import peak_bytes, reset_peak_bytes
from eamamba.progress import bar_options
from eamamba.restore.limits import available_memory
from eamamba.training.errors import TrainingError
from eamamba.training.folder import WEIGHTS_FILE
from eamamba.training.memory import kept_bytes, weights_bytes
from eamamba.training.processes import Processes
from eamamba.training.record import data_hash, record
from eamamba.training.run import begin, stage_loaders
from eamamba.training.states import States
from eamamba.training.trainer import Trainer, accelerator_for

_DAY_S = 24 * 3600
_GIB = 2**30
# Of the free memory, so much is planned for: what is kept for the backward pass is not all.
_PLANNED_SHARE = 0.7
# Patches that are read to time reading.
_TIMED_PATCHES = 4


@dataclass(frozen=True)
class Rehearsal:
    """What a training costs on this machine, measured in a few steps of each of its stages.

    Attributes
    ----------
    stages : DataFrame
        For each stage its patch (pixels), batch and iterations; ``part``, the images computed at
        a time (less than the batch where memory forces it; 0: not even one image fits, and the
        rest is not a number); peak_gib, the largest memory of the training process or, on a GPU,
        of the device, in 2^30 bytes; step_s and loading_s, the seconds that computing and reading
        one whole batch take, the latter by all of ``data.workers``; days in all.
    made_up : bool
        Whether the training set was not there, and pictures in its layout took its place.
    checkpointing : bool
        Whether activations were computed twice, since memory has no room for them.
    state_mib : float
        Size of a saved state, in 2^20 bytes.
    """

    stages: pd.DataFrame
    made_up: bool
    checkpointing: bool
    state_mib: float

    @property
    def days(self) -> float:
        """How long the training takes; not a number if a stage does not fit."""
        return float(self.stages["days"].sum(skipna=False))


def rehearse(
    settings: TaskSettings,
    device: str = "cpu",
    *,
    steps: int = 3,
    made_up_size: Size | None = None,
    progress: bool = True,
) -> Rehearsal:
    """Run the first steps of every stage, save and load what a training saves, and measure.

    Parameters
    ----------
    settings : TaskSettings
    device : str
        ``cpu`` or a CUDA device.
    steps : int
        Of each stage, at least 2: the first compiles, and the fastest of the others counts.
    made_up_size : (int, int), optional
        Width and height in pixels of the pictures that are made up where the training set is not
        there; by default about those of the published ones.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    DatasetError
        The training set is there, but not whole.
    TrainingError
        Memory ran out all the same.
    """
    with tempfile.TemporaryDirectory(prefix="eamamba-") as name:
        folder = Path(name)
        data, made_up = _training_set(settings.data, folder / "data", made_up_size)
        model, parts = _fitted(settings, device)
        stages = tuple(
            stage.model_copy(update={"batch": part, "iterations": steps})
            for stage, part in zip(settings.training.stages, parts, strict=True)
            if part
        )
        if not stages:
            raise TrainingError(f"{settings.task}: memory has no room for a single patch")
        recipe = settings.training.model_copy(update={"stages": stages, "micro_batch": None})
        short = settings.model_copy(update={"data": data, "model": model, "training": recipe})
        measured, state_mib = _train(short, device, folder, progress)
    costs = iter(measured)
    rows = [
        _row(stage, part, next(costs) if part else None, data.workers)
        for stage, part in zip(settings.training.stages, parts, strict=True)
    ]
    table = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))
    return Rehearsal(table, made_up, model.checkpoint_percentage > 0, state_mib)


def _training_set(data: DataSettings, folder: Path, size: Size | None) -> tuple[DataSettings, bool]:
    """Return the settings of the training set at hand, or of one made up where there is none."""
    sets = check(data)
    if (sets.loc[sets["use"] == "training", "found"] > 0).any():
        return data, False
    return made_up_training_set(data, folder, size=size), True


def _fitted(settings: TaskSettings, device: str) -> tuple[ModelSettings, list[int]]:
    """Return the network, and for each stage the largest part of its batch that fits into memory.

    Where memory has no room for an image of every stage, activations are computed twice instead of
    being kept.
    """
    parts: list[int] = []
    for share in dict.fromkeys((settings.model.checkpoint_percentage, 1.0)):
        model = settings.model.model_copy(update={"checkpoint_percentage": share})
        free = _PLANNED_SHARE * _free_bytes(device) - weights_bytes(model)
        parts = []
        for stage in settings.training.stages:
            images = int(free / kept_bytes(model, stage.patch // settings.scale))
            fitting = (n for n in range(min(images, stage.batch), 0, -1) if stage.batch % n == 0)
            parts.append(next(fitting, 0))
        if all(parts):
            break
    return model, parts


def _free_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory()


@dataclass(frozen=True)
class _Cost:
    """Of a few steps of one stage: see `Rehearsal`; seconds are for one image."""

    peak_gib: float
    step_s: float
    loading_s: float


def _train(
    settings: TaskSettings, device: str, folder: Path, progress: bool
) -> tuple[list[_Cost], float]:
    """Make all steps of a shortened training; return the cost of each stage and MiB of a state."""
    data = data_hash(settings.data)
    accelerator = accelerator_for(settings.training, device)
    processes = Processes(accelerator)
    trainer = begin(settings, accelerator, processes, None)
    costs = []
    name = f"{settings.task}: rehearsal"
    total = settings.training.iterations
    with tqdm(total=total, desc=name, disable=not progress, **bar_options()) as bar:
        for stage, loader in stage_loaders(trainer, processes, settings):
            try:
                costs.append(_play(trainer, stage, loader, device, bar))
            except Exception as error:
                if not ran_out_of_memory(error):
                    raise
                where = f"{settings.task}: patches of {stage.patch}, {stage.batch} at a time"
                raise TrainingError(f"{where}: not enough memory; lower the batch") from None
    states = States(folder, settings, data)
    states.save(trainer)
    size = states.latest.stat().st_size
    states.load(trainer)
    extra = record(settings, trainer.iteration, data)
    save_model(trainer.averaged, folder / WEIGHTS_FILE, task=settings.task, extra=extra)
    load_model(folder / WEIGHTS_FILE)
    return costs, size / 2**20


def _play(trainer: Trainer, stage: Stage, loader: DataLoader, device: str, bar: tqdm) -> _Cost:
    """Make the steps of one stage."""
    reset_peak_bytes(device)
    seconds = []
    for degraded, clean in loader:
        started = time.perf_counter()
        trainer.step(degraded, clean)
        seconds.append(time.perf_counter() - started)
        bar.update()
    peak_gib = peak_bytes(device) / _GIB
    started = time.perf_counter()
    for number in range(_TIMED_PATCHES):
        loader.dataset[number % (stage.batch * stage.iterations)]
    loading_s = (time.perf_counter() - started) / _TIMED_PATCHES
    return _Cost(peak_gib, min(seconds[1:]) / stage.batch, loading_s)


def _row(stage: Stage, part: int, cost: _Cost | None, workers: int) -> dict[str, float]:
    peak_gib, step_s, loading_s = astuple(cost) if cost else (math.nan,) * 3
    step_s, loading_s = stage.batch * step_s, stage.batch * loading_s / max(workers, 1)
    iteration_s = max(step_s, loading_s) if workers else step_s + loading_s
    return {
        "patch": stage.patch,
        "batch": stage.batch,
        "part": part,
        "peak_gib": peak_gib,
        "step_s": step_s,
        "loading_s": loading_s,
        "iterations": stage.iterations,
        "days": iteration_s * stage.iterations / _DAY_S,
    }
