"""The data, computation and memory of a training run, without running it."""

from __future__ import annotations

import dataclasses
import time

import pandas as pd
import torch

from eamamba.config import Stage, TaskSettings
from eamamba.datasets import check
from eamamba.network import build
from eamamba.profiling import complexity
from eamamba.training.memory import fitting_cut, needed_bytes
from eamamba.training.trainer import Trainer, accelerator_for

_TIMED_STEPS = 4
_GIB = 2**30


def plan(
    settings: TaskSettings, processes: int = 1, device_bytes: int | None = None
) -> pd.DataFrame:
    """Return the stages of a training run: what each sees and needs, without running it.

    Parameters
    ----------
    settings : TaskSettings
    processes : int
        Number of processes that share each batch, one device each.
    device_bytes : int, optional
        Free memory of each device, used by ``training.micro_batch: auto``; by default, everything
        is assumed to fit.

    Returns
    -------
    DataFrame
        For each stage its patch (pixels), batch and iterations; total patches and megapixels;
        epochs: patches per image of the training set (NaN if none is found); teraflops: 10^12
        operations in total, one multiply-add = 1 FLOP, the backward pass counted as two forward
        passes; micro_batch: images in one pass on one device, passes: their number per step there;
        recomputed: fraction of the blocks whose activations are recomputed; memory_gib: estimated
        peak for each device, in ``training.precision``: weights, optimiser, moving average, and
        what one pass keeps for the backward pass.
    """
    sets = check(settings.data)
    images = sets.loc[sets["use"] == "training", "found"].sum()
    rows = [
        _plan_stage(settings, stage, images)
        | _plan_device(settings, stage, processes, device_bytes)
        for stage in settings.training.stages
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))


def measured_hours(settings: TaskSettings, device: str = "cpu") -> float:
    """Estimate how long a training takes here, in hours, from a few real steps.

    Steps with one patch of the first stage are timed (the fastest counts, after one that compiles),
    and the cost per pixel is assumed to be the same in all stages; loading and degrading images is
    not included, and large batches are faster per image on a GPU.

    Parameters
    ----------
    settings : TaskSettings
    device : str
        ``cpu`` or a CUDA device.
    """
    patch = settings.training.stages[0].patch
    side = patch // settings.scale
    accelerator = accelerator_for(settings.training, device)
    trainer = Trainer(build(settings.model), settings.training, accelerator)
    degraded = torch.rand(1, settings.model.inp_channels, side, side, device=device)
    clean = torch.rand(1, 3, patch, patch, device=device)
    seconds = []
    for _ in range(_TIMED_STEPS):
        started = time.perf_counter()
        trainer.step(degraded, clean)
        seconds.append(time.perf_counter() - started)
    stages = settings.training.stages
    pixels = sum(stage.batch * stage.iterations * stage.patch**2 for stage in stages)
    return min(seconds[1:]) * pixels / patch**2 / 3600


def missing(settings: TaskSettings) -> list[str]:
    """Return what the data sets lack, one line each; empty if they are complete."""
    lines = []
    for row in check(settings.data).itertuples():
        name = f"{row.set} ({row.use})"
        lines += [f"{name}: {problem}" for problem in row.problems]
        if not row.problems and row.expected not in (None, row.found):
            lines.append(f"{name}: {row.found} in {row.place}, {row.expected} published")
    return lines


def _plan_stage(settings: TaskSettings, stage: Stage, images: int) -> dict[str, float]:
    side = stage.patch // settings.scale
    cost = complexity(settings.model, side)
    patches = stage.batch * stage.iterations
    return {
        "patch": stage.patch,
        "batch": stage.batch,
        "iterations": stage.iterations,
        "patches": patches,
        "megapixels": patches * stage.patch**2 / 1e6,
        "epochs": patches / images if images else float("nan"),
        "teraflops": 3 * patches * cost.gflops / 1e3,
    }


def _plan_device(
    settings: TaskSettings, stage: Stage, processes: int, free_bytes: int | None
) -> dict[str, float]:
    cut = fitting_cut(settings, stage, processes, free_bytes)
    fixed, each = needed_bytes(settings, stage.patch, processes, cut.recomputed)
    memory_gib = (fixed + cut.micro_batch * each) / _GIB
    return dataclasses.asdict(cut) | {"memory_gib": memory_gib}
