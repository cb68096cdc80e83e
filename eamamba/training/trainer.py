"""The state of a training run, and a single step of the recipe."""

from __future__ import annotations

import math
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eamamba.config import SettingsError, TrainingSettings
from eamamba.network import Network, set_recomputed
from eamamba.training.errors import NotFiniteError
from eamamba.training.schedule import ema_decay, learning_rate


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
        Device placement, mixed precision and distribution; plain CPU float32 by default.

    Attributes
    ----------
    micro_batch : int or None
        Maximum number of images in one pass through the network; the gradients of several passes
        add up to those of the batch.
    """

    model: Network
    settings: TrainingSettings
    accelerator: Accelerator = field(default_factory=lambda: Accelerator(cpu=True))
    iteration: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # the rows of the curve
    losses: list[float] = field(default_factory=list)  # since the last row
    validations: list[dict[str, Any]] = field(default_factory=list)  # their rows
    last_loss: float | None = None

    def __post_init__(self) -> None:
        recipe = self.settings
        self.model.to(self.accelerator.device).train()
        self.ema = AveragedModel(self.model, multi_avg_fn=self._average)
        self.ema.n_averaged.fill_(1)  # the average starts from the initial weights
        try:
            optimizer = torch.optim.AdamW(
                self.model.parameters(),
                lr=recipe.learning_rate,
                betas=recipe.betas,
                weight_decay=recipe.weight_decay,
            )
        except ValueError as error:
            raise SettingsError(f"training: rejected by the optimiser: {error}") from None
        # before the scaler of fp16 replaces the optimiser's step, which the schedule counts
        self.schedule = LambdaLR(
            optimizer, lambda t: learning_rate(t, recipe) / recipe.learning_rate
        )
        self.network: nn.Module
        self.network, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        self.micro_batch: int | None = None
        self._batch: int | None = None
        self._captured: tuple[torch.Size, nn.Module] | None = None

    @property
    def averaged(self) -> Network:
        """The network with the EMA weights."""
        return cast(Network, self.ema.module)

    def begin_stage(self, batch: int, micro_batch: int, recomputed: float) -> None:
        """Prepare for batches of another size.

        Parameters
        ----------
        batch : int
            Images of all processes together.
        micro_batch : int
            See above.
        recomputed : float
            Fraction of the blocks whose activations are recomputed in the backward pass.
        """
        self._batch, self.micro_batch = batch, micro_batch
        set_recomputed(self.model, recomputed)

    def step(self, degraded: Tensor, clean: Tensor) -> tuple[float, float]:
        """Run one optimiser step.

        Parameters
        ----------
        degraded, clean : Tensor (batch, channels, H, W)
            In [0, 1]; this process's share of the batch, which may differ by an image from that
            of another.

        Returns
        -------
        loss, gradient_norm : float
            The L1 loss and the gradient's total norm before clipping, both of the whole batch.

        Raises
        ------
        NotFiniteError
            If either is NaN or infinite, before the weights change; or if the step cannot be
            computed in float32.

        Notes
        -----
        In fp16 the loss is scaled up, so that small gradients do not vanish. If they overflow, the
        scale is halved, and weights, average and learning rate stay as they are; below a scale of
        1, it is the training that diverges.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.accelerator.reduce(self._backward(degraded, clean), "mean")
        norm = self.accelerator.clip_grad_norm_(
            self.network.parameters(), self.settings.clip_gradient_norm
        )
        measured = loss.item(), float(norm)
        scaler = self.accelerator.scaler
        may_overflow = scaler is not None and scaler.get_scale() >= 1
        for name, value in zip(("loss", "gradient norm"), measured, strict=True):
            if not math.isfinite(value) and not (may_overflow and name == "gradient norm"):
                raise NotFiniteError(f"the {name} became {value}")
        self.last_loss = measured[0]
        self._update()
        if not self.optimizer.step_was_skipped:
            self.schedule.step()
            self.ema.update_parameters(self.model)
        self.iteration += 1
        return measured

    def _backward(self, degraded: Tensor, clean: Tensor) -> Tensor:
        """Add up the gradients of all passes, and return the sum of their losses.

        Each loss is weighted so that the mean over the processes is that over the whole batch.
        """
        passes = math.ceil(len(degraded) / (self.micro_batch or len(degraded)))
        size = math.ceil(len(degraded) / passes)
        share = self.accelerator.num_processes / (
            self._batch or self.accelerator.num_processes * len(degraded)
        )
        network = self._network_or_graph(degraded) if passes == 1 else self.network
        losses: list[Tensor] = []
        for images, truth in zip(degraded.split(size), clean.split(size), strict=True):
            last = len(losses) == passes - 1
            # only the last pass exchanges gradients
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                restored = network(images)  # casts and back: see accelerator.prepare
                loss = nn.functional.l1_loss(restored, truth) * (len(images) * share)
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _average(self, averages: Any, weights: Any, averaged: Tensor | int) -> None:
        decay = ema_decay(self.iteration, self.settings)
        get_ema_multi_avg_fn(decay)(averages, weights, averaged)

    def _update(self) -> None:
        try:
            self.optimizer.step()
        except (RuntimeError, OverflowError) as error:
            if "overflow" not in str(error):
                raise
            rate = self.optimizer.param_groups[0]["lr"]
            reason = f"a step with learning rate {rate:g} overflowed"
            raise NotFiniteError(reason, changed_weights=True) from None

    def _network_or_graph(self, batch: Tensor) -> nn.Module:
        """Return the network, on one GPU with its passes captured in CUDA graphs.

        Small networks spend most of a step issuing thousands of kernels; replaying a graph issues
        one. A graph is for one shape, so each stage of the training captures its own.
        """
        if batch.device.type != "cuda" or self.accelerator.num_processes > 1:
            return self.network
        if self._captured is None or self._captured[0] != batch.shape:
            self._captured = None  # frees the memory of the last one
            _expect_streams_to_differ()
            sample = torch.rand_like(batch)
            captured = torch.cuda.make_graphed_callables(Passes(self.network), (sample,))
            self._captured = batch.shape, cast(nn.Module, captured)
        return self._captured[1]

    def check_finite(self) -> None:
        """Raise `NotFiniteError` unless all weights, averages and moments are finite."""
        moments = (
            tensor
            for of_weight in self.optimizer.state_dict()["state"].values()
            for tensor in of_weight.values()
        )
        kept = (*self.model.state_dict().values(), *self.ema.state_dict().values(), *moments)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in kept):
            raise NotFiniteError("the weights became NaN or infinite", changed_weights=True)

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to resume after an interruption."""
        scaler = self.accelerator.scaler
        return {
            "iteration": self.iteration,
            "history": self.history,
            "losses": self.losses,
            "validations": self.validations,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
            "scaler": scaler and scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the result of `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.iteration = state["iteration"]
        self.history, self.losses = state["history"], state["losses"]
        self.validations = state.get("validations", [])  # older states have none
        means = [row["loss"] for row in self.history]
        self.last_loss = (self.losses or means or [None])[-1]


class Passes(nn.Module):
    """The network in a separate module, since capturing replaces a module's forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output for a batch."""
        return self.network(image)


def _expect_streams_to_differ() -> None:
    """Disable PyTorch's warning about gradients from another stream, that of the capture."""
    graph = torch.autograd.graph
    if hasattr(graph, "set_warn_on_accumulate_grad_stream_mismatch"):  # since PyTorch 2.10
        graph.set_warn_on_accumulate_grad_stream_mismatch(False)


def accelerator_for(settings: TrainingSettings, device: str) -> Accelerator:
    """Return an accelerator with the placement, precision and distribution of recipe and device.

    Raises
    ------
    SettingsError
        This machine has no such device, or the launcher requests different options.
    """
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise SettingsError(f"device {device!r}: expected cpu, cuda or a device such as cuda:1")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise SettingsError(f"device {device!r}: no such CUDA device here; use --device cpu")
    if kind == "cpu" and settings.precision == "fp16":
        raise SettingsError("training.precision fp16 needs a GPU; use bf16 or float32 on the CPU")
    precision = "no" if settings.precision == "float32" else settings.precision
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in ("no", precision):
        raise SettingsError(
            f"the launcher asks for mixed precision {launched}, training.precision is "
            f"{settings.precision}; only the setting counts: change it, or leave the option out"
        )
    if number:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise SettingsError(
                f"device {device!r} for several processes; give --device cuda: each takes its own"
            )
        torch.cuda.set_device(int(number))
    return Accelerator(cpu=kind == "cpu", mixed_precision=precision)
