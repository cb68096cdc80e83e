"""What a training will see, compute and need, without running it."""

from __future__ import annotations

import time

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from eamamba.config import ModelSettings, Stage, TaskSettings
from eamamba.datasets import check
from eamamba.network import build
from eamamba.profiling import complexity
from eamamba.training.trainer import Trainer, accelerator_for

_TIMED_STEPS = 4
# Weights, their gradients, two moments of AdamW and the moving average.
_COPIES_OF_WEIGHTS = 5
_GIB = 2**30


def plan(settings: TaskSettings) -> pd.DataFrame:
    """Return the stages of a training: what each sees and needs, without running it.

    Returns
    -------
    DataFrame
        For each stage its patch (pixels), batch and iterations; patches and megapixels in all;
        epochs: patches per image of the training set (not a number where none is found);
        teraflops: 10^12 operations in all, one multiply-add = 1 FLOP, the backward pass taken
        as two forward passes; memory_gib: weights, optimiser, moving average and what one batch
        keeps for the backward pass, in float32 and over all devices together.
    """
    sets = check(settings.data)
    images = sets.loc[sets["use"] == "training", "found"].sum()
    rows = [_plan_stage(settings, stage, images) for stage in settings.training.stages]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))


def measured_hours(settings: TaskSettings, device: str = "cpu") -> float:
    """Estimate how long a training takes here, in hours, from a few real steps.

    Steps with one patch of the first stage are timed (the fastest counts, after one that
    compiles) and taken to cost as much per pixel in all stages; loading and degrading images
    is not in it, and large batches are faster per image on a GPU.

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
    """Return what the data sets lack, one line each; empty if they are whole."""
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
    memory = weights_bytes(settings.model) + stage.batch * kept_bytes(settings.model, side)
    return {
        "patch": stage.patch,
        "batch": stage.batch,
        "iterations": stage.iterations,
        "patches": patches,
        "megapixels": patches * stage.patch**2 / 1e6,
        "epochs": patches / images if images else float("nan"),
        "teraflops": 3 * patches * cost.gflops / 1e3,
        "memory_gib": memory / _GIB,
    }


def weights_bytes(settings: ModelSettings) -> int:
    """Return the bytes of the weights, their gradients, the optimiser and the moving average."""
    with torch.device("meta"):
        model = build(settings)
    return 4 * _COPIES_OF_WEIGHTS * sum(weight.numel() for weight in model.parameters())


def kept_bytes(settings: ModelSettings, side: int) -> int:
    """Return the bytes that a forward pass keeps for its backward pass, for one image.

    Parameters
    ----------
    settings : EAMambaSettings or EAMambaSRSettings
    side : int
        Height and width of the input in pixels.
    """
    kept: dict[int, int] = {}

    def count_storage(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[StorageWeakRef(storage).cdata] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        model = build(settings)
        image = torch.empty(1, settings.inp_channels, side, side)
    with saved_tensors_hooks(count_storage, lambda tensor: tensor):
        output = model(image)  # its graph keeps the noted tensors alive, so none is counted twice
    del output
    return sum(kept.values())
