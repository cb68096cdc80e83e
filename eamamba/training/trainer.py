"""One training run's state, and a single step of the recipe."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eamamba.config import SettingsError, TaskSettings, TrainingSettings
from eamamba.files import write_atomically
from eamamba.network import Network


def learning_rate(completed: int, settings: TrainingSettings) -> float:
    """Return the learning rate after ``completed`` steps: a plateau, then a cosine.

    lr = min + ½ (max - min)(1 + cos(π (t - t₀) / (T - t₀))) for t > t₀ (paper section 4.1);
    halved besides at each of ``settings.halved_at`` (light super-resolution).
    """
    past = completed - settings.constant_iterations
    decay_steps = settings.iterations - settings.constant_iterations
    low, high = settings.minimum_learning_rate, settings.learning_rate
    halvings = sum(completed >= iteration for iteration in settings.halved_at)
    if past <= 0 or decay_steps <= 0:
        return high * 0.5**halvings
    cosine = 0.5 * (1 + math.cos(math.pi * past / decay_steps))
    return (low + (high - low) * cosine) * 0.5**halvings


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
        self._captured: tuple[torch.Size, nn.Module] | None = None
        self.schedule = LambdaLR(
            optimizer, lambda t: learning_rate(t, recipe) / recipe.learning_rate
        )

    @property
    def averaged(self) -> Network:
        """The network with the EMA weights."""
        return cast(Network, self.ema.module)

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
        network = self._network_or_graph(degraded)
        restored = network(degraded)  # casts and back: see accelerator.prepare
        loss = nn.functional.l1_loss(restored, clean)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(
            self.network.parameters(), self.settings.clip_gradient_norm
        )
        self.optimizer.step()
        self.schedule.step()
        self.ema.update_parameters(self.model)
        self.iteration += 1
        return loss.item(), float(norm)

    def _network_or_graph(self, batch: Tensor) -> nn.Module:
        """Return the network, on one GPU with its passes captured in CUDA graphs.

        Small networks spend most of a step issuing thousands of kernels; replaying a graph issues
        one. A graph is for one shape, so each stage of the training captures anew.
        """
        if batch.device.type != "cuda" or self.accelerator.num_processes > 1:
            return self.network
        if self._captured is None or self._captured[0] != batch.shape:
            self._captured = None  # frees the memory of the last one
            sample = torch.rand_like(batch)
            captured = torch.cuda.make_graphed_callables(_Passes(self.network), (sample,))
            self._captured = batch.shape, cast(nn.Module, captured)
        return self._captured[1]

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
                "or start anew with --fresh (or delete the file)"
            )
        self.iteration = state["iteration"]
        self.history, self.losses = state["history"], state["losses"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]


class _Passes(nn.Module):
    """The network in a module of its own, since capturing replaces a module's forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)


def accelerator_for(settings: TrainingSettings, device: str) -> Accelerator:
    """Return what places, mixes precisions and distributes as the recipe and the device ask.

    Raises
    ------
    SettingsError
        No such device here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device 'cuda': no CUDA device here; use --device cpu")
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if settings.precision == "bf16" else "no",
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
