"""A few steps of every stage at full size, before spending days on all of them."""

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
# Fraction of the free memory to plan for: more is needed than what the backward pass keeps.
_PLANNED_SHARE = 0.7
# Number of patches to time reading.
_TIMED_PATCHES = 4


@dataclass(frozen=True)
class Rehearsal:
    """The cost of a training run on this machine, measured in a few steps of each stage.

    Attributes
    ----------
    stages : DataFrame
        For each stage its patch (pixels), batch and iterations; ``part``, the images computed at a
        time (less than the batch if memory is short; 0: not even one image fits, and the rest is
        NaN); peak_gib, the largest memory of the training process or, on a GPU, of the device, in
        2^30 bytes; step_s and loading_s, the seconds for computing and reading a whole batch, the
        latter with all ``data.workers``; total days.
    made_up : bool
        Whether the training set was missing and replaced by synthetic pictures in its layout.
    checkpointing : bool
        Whether activations were computed twice because they do not fit into memory.
    state_mib : float
        Size of a saved state, in 2^20 bytes.
    """

    stages: pd.DataFrame
    made_up: bool
    checkpointing: bool
    state_mib: float

    @property
    def days(self) -> float:
        """Duration of the training; NaN if a stage does not fit."""
        return float(self.stages["days"].sum(skipna=False))


def rehearse(
    settings: TaskSettings,
    device: str = "cpu",
    *,
    steps: int = 3,
    made_up_size: Size | None = None,
    progress: bool = True,
) -> Rehearsal:
    """Run and measure the first steps of every stage, and save and load states and weights.

    Parameters
    ----------
    settings : TaskSettings
    device : str
        ``cpu`` or a CUDA device.
    steps : int
        Steps per stage, at least 2: the first compiles, and the fastest of the others counts.
    made_up_size : (int, int), optional
        Width and height in pixels of the synthetic pictures if the training set is missing; by
        default about those of the published ones.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    DatasetError
        The training set exists but is incomplete.
    TrainingError
        Memory ran out nevertheless.
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
            raise TrainingError(f"{settings.task}: not enough memory for a single patch")
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
    """Return the settings of the training set, or of a synthetic one if it is missing."""
    sets = check(data)
    if (sets.loc[sets["use"] == "training", "found"] > 0).any():
        return data, False
    return made_up_training_set(data, folder, size=size), True


def _fitted(settings: TaskSettings, device: str) -> tuple[ModelSettings, list[int]]:
    """Return the network, and for each stage the largest part of its batch that fits into memory.

    If an image of some stage does not fit, activations are computed twice instead of being kept.
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
    """Cost of a few steps of one stage: see `Rehearsal`; seconds are for one image."""

    peak_gib: float
    step_s: float
    loading_s: float


def _train(
    settings: TaskSettings, device: str, folder: Path, progress: bool
) -> tuple[list[_Cost], float]:
    """Run all steps of a shortened training; return the cost of each stage and MiB of a state."""
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
    """Run the steps of one stage."""
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
