"""Networks inside wrappers: compiled, distributed over devices, averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from eamamba.network import EAMamba, EAMambaSR, Network

# Attributes in which PyTorch's wrappers keep the module: DataParallel, DistributedDataParallel and
# AveragedModel, torch.compile, FSDP, activation checkpoints. None of our modules has such a name.
_INSIDE = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
Value = TypeVar("Value")


def unwrapped(model: nn.Module) -> Network:
    """Return the network inside any number of wrappers.

    Raises
    ------
    TypeError
        If there is none of our networks inside.
    """
    inner: object = model
    while not isinstance(inner, EAMamba | EAMambaSR):
        names = [name for name in _INSIDE if isinstance(getattr(inner, name, None), nn.Module)]
        if not names:
            raise TypeError(
                f"expected EAMamba or EAMambaSR, or one of PyTorch's wrappers around it, "
                f"got {type(model).__name__}"
            )
        inner = getattr(inner, names[0])
    return inner


def plain_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return a state dict with the names of an unwrapped network."""
    named = {
        ".".join(part for part in name.split(".") if part not in _INSIDE): value
        for name, value in state.items()
    }
    named.pop("n_averaged", None)  # the number of updates of AveragedModel
    return named
