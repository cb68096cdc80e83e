"""Training with the paper's recipe at any scale (paper section 4.1).

L1 loss, AdamW, gradient norm clipped, a constant then cosine learning rate,
progressive patch sizes and an exponential moving average (EMA) of the weights,
which is what gets saved.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from eamamba.checkpoint import load_model, save_model, write_atomically
from eamamba.config import SettingsError, TaskSettings, TrainingSettings
from eamamba.datasets import training_patches
from eamamba.network import Network, build

STATE_FILE = "training_state.pt"


def learning_rate(completed: int, settings: TrainingSettings) -> float:
    """Return the learning rate after ``completed`` steps: a plateau, then a cosine.

    lr = min + ½ (max - min)(1 + cos(π (t - t₀) / (T - t₀))) for t > t₀ (paper section 4.1).
    """
    past = completed - settings.constant_iterations
    decay_steps = settings.iterations - settings.constant_iterations
    if past <= 0 or decay_steps <= 0:
        return settings.learning_rate
    low, high = settings.minimum_learning_rate, settings.learning_rate
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * past / decay_steps))


@dataclass
class Trainer:
    """A network with its optimiser, schedule and EMA: the state of one training run.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        The network to train, in place.
    settings : TrainingSettings
        The recipe.
    accelerator : Accelerator, optional
        Device placement, mixed precision and distribution; plain CPU float32 if not given.
    """

    model: Network
    settings: TrainingSettings
    accelerator: Accelerator = field(default_factory=lambda: Accelerator(cpu=True))
    iteration: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # the rows of the curve
    losses: list[float] = field(default_factory=list)  # since the last of them

    def __post_init__(self) -> None:
        recipe = self.settings
        self.model.to(self.accelerator.device).train()
        self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))
        self.ema.n_averaged.fill_(1)  # the average starts from the initial weights
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
        )
        self.network: nn.Module
        self.network, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        self.schedule = LambdaLR(
            optimizer, lambda t: learning_rate(t, recipe) / recipe.learning_rate
        )

    def step(self, degraded: Tensor, clean: Tensor) -> tuple[float, float]:
        """Make one optimiser step.

        Parameters
        ----------
        degraded, clean : Tensor (batch, channels, H, W)
            In [0, 1].

        Returns
        -------
        loss, gradient_norm : float
            The L1 loss and the gradient's total norm before clipping.
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self.accelerator.autocast():
            restored = self.network(degraded)
        loss = nn.functional.l1_loss(restored.to(clean.dtype), clean)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(
            self.network.parameters(), self.settings.clip_gradient_norm
        )
        self.optimizer.step()
        self.schedule.step()
        self.ema.update_parameters(self.model)
        self.iteration += 1
        return loss.item(), float(norm)

    def save(self, path: Path, settings: TaskSettings) -> None:
        """Write everything needed to go on after an interruption, atomically."""
        state = {
            "settings": settings.model_dump(mode="json"),
            "iteration": self.iteration,
            "history": self.history,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path, settings: TaskSettings) -> None:
        """Go on from a file that `save` wrote.

        Raises
        ------
        SettingsError
            If the file belongs to a run with other settings.
        """
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        if state["settings"] != settings.model_dump(mode="json"):
            raise SettingsError(
                f"{path}: an interrupted training with other settings; finish it with those, "
                "or start anew with --fresh"
            )
        self.iteration = state["iteration"]
        self.history, self.losses = state["history"], state["losses"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]


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
    accelerator = _accelerator(settings.training, device)
    torch.manual_seed(settings.training.seed)
    start = settings.training.initial_weights
    model = load_model(start) if start else build(settings.model)
    if model.settings != settings.model:
        raise SettingsError(f"training.initial_weights: {start} is not of the model to train")
    trainer = Trainer(model, settings.training, accelerator)
    state = output / STATE_FILE
    if resume and state.is_file():
        trainer.load(state, settings)
    with _Watch(trainer, settings, output, progress, time_limit_s) as watch:
        for stage, loader in _batches(settings, trainer.iteration, accelerator):
            for degraded, clean in loader:
                watch.after(*trainer.step(degraded, clean), stage)
                if watch.out_of_time:
                    trainer.save(state, settings)
                    return None
    weights = output / "model.safetensors"
    record = {"profile": settings.profile, "iterations": trainer.iteration}
    save_model(trainer.ema.module, weights, task=settings.task, extra=record)
    state.unlink(missing_ok=True)
    return weights


def plan(settings: TaskSettings) -> pd.DataFrame:
    """Return the stages of a training: what each sees, without running it."""
    rows = [
        {
            "patch": stage.patch,
            "batch": stage.batch,
            "iterations": stage.iterations,
            "patches": stage.batch * stage.iterations,
            "megapixels": stage.batch * stage.iterations * stage.patch**2 / 1e6,
        }
        for stage in settings.training.stages
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="stage"))


def _accelerator(settings: TrainingSettings, device: str) -> Accelerator:
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device 'cuda': no CUDA device here; use --device cpu")
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if settings.precision == "bf16" else "no",
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )


def _batches(settings: TaskSettings, done: int, accelerator: Accelerator) -> Any:
    """Yield each unfinished stage with a loader over what is left of it."""
    for number, stage in enumerate(settings.training.stages):
        skipped = min(done, stage.iterations)
        done -= skipped
        if skipped == stage.iterations:
            continue
        seed = settings.training.seed + 1_000_003 * number
        patches = training_patches(
            settings.data, stage.patch, stage.batch * stage.iterations, seed
        )
        loader = DataLoader(
            patches,
            stage.batch,
            sampler=range(skipped * stage.batch, len(patches)),
            num_workers=settings.data.workers,
            pin_memory=accelerator.device.type == "cuda",
        )
        yield stage, accelerator.prepare(loader)


class _Watch:
    """Logs, progress bar, checkpoints and the clock of one training run."""

    def __init__(
        self,
        trainer: Trainer,
        settings: TaskSettings,
        output: Path,
        progress: bool,
        time_limit_s: float | None,
    ) -> None:
        self.trainer, self.settings, self.output = trainer, settings, output
        self.bar = tqdm(
            total=settings.training.iterations,
            initial=trainer.iteration,
            desc=settings.task,
            disable=not progress,
            mininterval=1.0,
        )
        self.time_limit_s = time_limit_s

    def __enter__(self) -> _Watch:
        self._write_curve()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has passed."""
        limit = self.time_limit_s
        return limit is not None and float(self.bar.format_dict["elapsed"]) > limit

    def after(self, loss: float, norm: float, stage: Any) -> None:
        """Note one step; log and save when it is time."""
        recipe, trainer = self.settings.training, self.trainer
        trainer.losses.append(loss)
        self.bar.update()
        last = trainer.iteration == recipe.iterations
        if trainer.iteration % recipe.log_every == 0 or last:
            mean = sum(trainer.losses) / len(trainer.losses)
            trainer.losses.clear()
            row = {
                "iteration": trainer.iteration,
                "loss": mean,
                "gradient_norm": norm,
                "learning_rate": learning_rate(trainer.iteration - 1, recipe),
                "patch": stage.patch,
                "batch": stage.batch,
            }
            trainer.history.append(row)
            self.bar.set_postfix(loss=f"{mean:.4f}", patch=stage.patch)
            self._write_curve()
        if trainer.iteration % recipe.checkpoint_every == 0 and not last:
            trainer.save(self.output / STATE_FILE, self.settings)

    def _write_curve(self) -> None:
        if self.trainer.accelerator.is_main_process:
            table = pd.DataFrame(self.trainer.history)
            text = table.to_csv(index=False, lineterminator=os.linesep, float_format="%.8g")
            write_atomically(self.output / "training.csv", text.encode())
