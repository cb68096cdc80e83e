"""A few steps of every stage at full size, before spending days on all of them."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from eamamba.checkpoint import load_model, save_model
from eamamba.config import DataSettings, Stage, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.datasets import check
from eamamba.datasets.made_up import Size, made_up_training_set
from eamamba.profiling.measured import peak_bytes, reset_peak_bytes
from eamamba.progress import bar_options
from eamamba.training.errors import TrainingError
from eamamba.training.folder import WEIGHTS_FILE
from eamamba.training.loaders import stage_loaders
from eamamba.training.memory import Cut, fitting_cut, needed_bytes
from eamamba.training.processes import Processes
from eamamba.training.record import data_hash, record
from eamamba.training.run import begin
from eamamba.training.states import States
from eamamba.training.trainer import Trainer, accelerator_for

_DAY_S = 24 * 3600
_GIB = 2**30
# Passes of one step: on a GPU, as many as it takes to add up gradients; on a CPU, where a pass of
# the paper's network takes half a minute, only one: the others take as long.
_PASSES = {"cuda": 2, "cpu": 1}
# Steps per stage. On a GPU each stage begins with one that compiles and does not count.
_STEPS = {"cuda": 3, "cpu": 1}
# Side of the patch of a first step that compiles the kernels of a CPU, over the scale.
_FIRST_PATCH = 16
# Number of patches to time reading.
_TIMED_PATCHES = 4


@dataclass(frozen=True)
class Rehearsal:
    """The cost of a training run on this machine, measured in a few steps of each stage.

    Attributes
    ----------
    stages : DataFrame
        For each stage its patch (pixels), batch and iterations; micro_batch, the images computed
        in one pass (fewer than the batch if memory is short; 0: not even one fits, and the rest is
        NaN); recomputed, the share of the blocks whose activations are recomputed for lack of
        memory; peak_gib, the largest memory of the training process or, on a GPU, of the device,
        in 2^30 bytes; timed, the images of the step that was timed, in one pass on a CPU and at
        most two on a GPU; step_s and loading_s, the seconds for computing and reading a whole
        batch, extrapolated from fewer images and, for the latter, to all ``data.workers``; total
        days.
    made_up : bool
        Whether the training set was missing and replaced by synthetic pictures in its layout.
    state_mib : float
        Size of a saved state, in 2^20 bytes.
    """

    stages: pd.DataFrame
    made_up: bool
    state_mib: float

    @property
    def days(self) -> float:
        """Duration of the training; NaN if a stage does not fit."""
        return float(self.stages["days"].sum(skipna=False))


def rehearse(
    settings: TaskSettings,
    device: str = "cpu",
    *,
    steps: int | None = None,
    made_up_size: Size | None = None,
    progress: bool = True,
) -> Rehearsal:
    """Run and measure the first steps of every stage, and save and load states and weights.

    Parameters
    ----------
    settings : TaskSettings
    device : str
        ``cpu`` or a CUDA device.
    steps : int, optional
        Steps per stage, by default 1 on a CPU and 3 on a GPU. Of several the first does not count,
        and of the others the fastest does.
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
    recipe = settings.training.model_copy(update={"micro_batch": "auto"})
    settings = settings.model_copy(update={"training": recipe})
    accelerator = accelerator_for(recipe, device)
    cuts = _cuts(settings, Processes(accelerator).free_bytes())
    stages = _shortened(settings, cuts, accelerator.device.type, steps)
    with tempfile.TemporaryDirectory(prefix="eamamba-") as name:
        folder = Path(name)
        data, made_up = _training_set(settings.data, folder / "data", made_up_size)
        short = settings.model_copy(
            update={
                "data": data,
                "training": recipe.model_copy(update={"stages": stages}),
            }
        )
        (_, *measured), state_mib = _train(short, accelerator, folder, progress)
    costs = iter(measured)
    rows = [
        _row(stage, cut, next(costs) if cut else None, data.workers)
        for stage, cut in zip(recipe.stages, cuts, strict=True)
    ]
    table = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))
    return Rehearsal(table, made_up, state_mib)


def _cuts(settings: TaskSettings, free_bytes: int) -> list[Cut | None]:
    """Return how each stage's batch is cut; None where not even one image fits."""
    cuts: list[Cut | None] = []
    for stage in settings.training.stages:
        cut = fitting_cut(settings, stage, 1, free_bytes)
        fixed, each = needed_bytes(settings, stage.patch, 1, cut.recomputed)
        cuts.append(cut if fixed + each * cut.micro_batch <= free_bytes else None)
    return cuts


def _shortened(
    settings: TaskSettings, cuts: list[Cut | None], kind: str, steps: int | None
) -> tuple[Stage, ...]:
    """Return what is run of the stages that fit, after a small one that compiles the kernels."""
    stages = [
        stage.model_copy(
            update={
                "batch": min(stage.batch, _PASSES[kind] * cut.micro_batch),
                "iterations": steps or _STEPS[kind],
            }
        )
        for stage, cut in zip(settings.training.stages, cuts, strict=True)
        if cut
    ]
    if not stages:
        raise TrainingError(f"{settings.task}: not enough memory for a single patch")
    return Stage(patch=_FIRST_PATCH * settings.scale, batch=1, iterations=1), *stages


def _training_set(data: DataSettings, folder: Path, size: Size | None) -> tuple[DataSettings, bool]:
    """Return the settings of the training set, or of a synthetic one if it is missing."""
    sets = check(data)
    if (sets.loc[sets["use"] == "training", "found"] > 0).any():
        return data, False
    return made_up_training_set(data, folder, size=size), True


@dataclass(frozen=True)
class _Cost:
    """Cost of a few steps of one stage: see `Rehearsal`; seconds are for one image."""

    timed: float
    peak_gib: float
    step_s: float
    loading_s: float


def _train(
    settings: TaskSettings, accelerator: Accelerator, folder: Path, progress: bool
) -> tuple[list[_Cost], float]:
    """Run all steps of a shortened training; return the cost of each stage and MiB of a state."""
    data = data_hash(settings.data)
    processes = Processes(accelerator)
    trainer = begin(settings, accelerator, processes, None)
    costs = []
    name = f"{settings.task}: rehearsal"
    total = settings.training.iterations
    with tqdm(total=total, desc=name, disable=not progress, **bar_options()) as bar:
        for stage, loader in stage_loaders(trainer, processes, settings):
            try:
                costs.append(_play(trainer, stage, loader, bar))
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


def _play(trainer: Trainer, stage: Stage, loader: DataLoader, bar: tqdm) -> _Cost:
    """Run the steps of one stage."""
    device = str(trainer.accelerator.device)
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
    return _Cost(stage.batch, peak_gib, min(seconds[1:] or seconds) / stage.batch, loading_s)


def _row(stage: Stage, cut: Cut | None, cost: _Cost | None, workers: int) -> dict[str, float]:
    timed, peak_gib, step_s, loading_s = astuple(cost) if cost else (0, *(math.nan,) * 3)
    step_s, loading_s = stage.batch * step_s, stage.batch * loading_s / max(workers, 1)
    iteration_s = max(step_s, loading_s) if workers else step_s + loading_s
    return {
        "patch": stage.patch,
        "batch": stage.batch,
        "micro_batch": cut.micro_batch if cut else 0,
        "recomputed": cut.recomputed if cut else 1.0,
        "peak_gib": peak_gib,
        "timed": timed,
        "step_s": step_s,
        "loading_s": loading_s,
        "iterations": stage.iterations,
        "days": iteration_s * stage.iterations / _DAY_S,
    }
