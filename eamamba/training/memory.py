"""How much memory training takes, and how its batches are divided to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from eamamba.config import ModelSettings, Stage, TaskSettings
from eamamba.network import MambaFormerBlock, build

# Weights, their gradients, two moments of AdamW and the moving average.
_COPIES_OF_WEIGHTS = 5
# Buffers for exchange between processes: the gradients once more, in buckets.
_COPIES_EXCHANGED = 1
# Fractions of the blocks to recompute, tried in this order.
_SHARES = (0.25, 0.5, 0.75, 1.0)
# Measured upper bound of the peak over what is counted here: gradients of the kept maps, and
# fragmented memory.
_PEAK_OVER_COUNT = 1.25


@dataclass(frozen=True)
class Cut:
    """How one device's share of a batch is divided.

    Attributes
    ----------
    micro_batch : int
        Images in one pass through the network.
    passes : int
        Number of passes per step.
    recomputed : float
        Fraction of the blocks whose activations are recomputed.
    """

    micro_batch: int
    passes: int
    recomputed: float


def fitting_cut(
    settings: TaskSettings, stage: Stage, processes: int, free_bytes: int | None
) -> Cut:
    """Return how to divide a stage's batch according to ``training.micro_batch``.

    Parameters
    ----------
    settings : TaskSettings
    stage : Stage
    processes : int
        Number of processes that share the batch, one device each.
    free_bytes : int, optional
        Free memory of the device. With ``micro_batch: auto``, as many images at a time as fit, and
        if not even one fits, as much recomputing as needed; by default, everything is assumed to
        fit.
    """
    share = math.ceil(stage.batch / processes)
    recomputed = settings.model.checkpoint_percentage
    images, asked = share, settings.training.micro_batch
    if asked == "auto" and free_bytes is not None:
        for recomputed in (settings.model.checkpoint_percentage, *_SHARES):
            fixed, each = needed_bytes(settings, stage.patch, processes, recomputed)
            images = min(share, int((free_bytes - fixed) // each))
            if images > 0:
                break
    elif isinstance(asked, int):
        images = min(share, asked)
    passes = math.ceil(share / max(images, 1))
    return Cut(math.ceil(share / passes), passes, recomputed)


def needed_bytes(
    settings: TaskSettings, patch: int, processes: int, recomputed: float
) -> tuple[int, int]:
    """Return the bytes that training needs on a device: fixed, and per image of a pass.

    Parameters
    ----------
    settings : TaskSettings
    patch : int
        Height and width of the clean patches in pixels.
    processes : int
    recomputed : float
        Fraction of the blocks whose activations are recomputed.
    """
    model = settings.model.model_copy(update={"checkpoint_percentage": recomputed})
    half = settings.training.precision != "float32"
    each = kept_bytes(model, patch // settings.scale, half=half)
    return weights_bytes(model, processes), int(_PEAK_OVER_COUNT * each)


def weights_bytes(settings: ModelSettings, processes: int = 1) -> int:
    """Return the bytes of the weights, their gradients, the optimiser and the moving average."""
    with torch.device("meta"):
        model = build(settings)
    copies = _COPIES_OF_WEIGHTS + _COPIES_EXCHANGED * (processes > 1)
    return 4 * copies * sum(weight.numel() for weight in model.parameters())


def kept_bytes(settings: ModelSettings, side: int, *, half: bool = False) -> int:
    """Return the bytes that a forward pass keeps for its backward pass, for one image.

    If blocks are recomputed, those of the largest one are added, which are kept during its backward
    pass.

    Parameters
    ----------
    settings : EAMambaSettings or EAMambaSRSettings
    side : int
        Height and width of the input in pixels.
    half : bool
        Whether products are in 16 bits (``training.precision: bf16`` or ``fp16``).
    """
    inputs: list[tuple[MambaFormerBlock, torch.Size]] = []

    def note(block: nn.Module, args: tuple[Tensor]) -> None:
        assert isinstance(block, MambaFormerBlock)
        inputs.append((block, args[0].shape))

    shapes_only = (
        FakeTensorMode() if half else torch.device("meta")
    )  # the latter does not support autocast
    with shapes_only, torch.autocast("cpu", torch.bfloat16, enabled=half):
        model = build(settings)
        for module in model.modules():
            if isinstance(module, MambaFormerBlock):
                module.register_forward_pre_hook(note)
        kept = _kept_by(model, torch.empty(1, settings.inp_channels, side, side))
        if settings.checkpoint_percentage:
            block, shape = max(inputs, key=lambda noted: noted[1].numel())
            kept += _kept_by(block, torch.empty(shape, requires_grad=True))
    return kept


def _kept_by(module: nn.Module, image: Tensor) -> int:
    kept: dict[int, int] = {}

    def count_storage(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[StorageWeakRef(storage).cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(count_storage, lambda tensor: tensor):
        output = module(
            image
        )  # its graph keeps the counted tensors alive, so none is counted twice
    del output
    return sum(kept.values())
