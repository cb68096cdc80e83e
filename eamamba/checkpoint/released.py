"""The paper's released files: ``model.name``, ``model.args``, ``model.sd`` and ``model.sd_e``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

from torch import Tensor

from eamamba.checkpoint.errors import CheckpointError, CheckpointWarning
from eamamba.checkpoint.wrappers import plain_names
from eamamba.config import (
    EAMambaSettings,
    EAMambaSRSettings,
    ModelSettings,
    SettingsError,
    validate,
)

SETTINGS: dict[str, type[EAMambaSettings] | type[EAMambaSRSettings]] = {
    "eamamba": EAMambaSettings,
    "eamambasr": EAMambaSRSettings,
}
Weights = Literal["ema", "raw"]


def is_released(file: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a file's content has the layout of a released file."""
    model = file.get("model") if isinstance(file, Mapping) else None
    return isinstance(model, Mapping) and isinstance(model.get("args"), Mapping)


def translate_released(
    file: Mapping[str, Any], weights: Weights, source: str
) -> tuple[ModelSettings, dict[str, Tensor]]:
    """Convert the content of a released ``.pth`` to settings and a state dict.

    Keys that the constructor of those files never read (``LayerNorm_type``, so the
    layer norm always had a bias; ``heads``; ``upscale`` of the U-Net) and tensors
    that it never used (``upsample.*`` of the U-Net) are dropped with a
    `CheckpointWarning` that names them.

    Raises
    ------
    CheckpointError
        If the file names another network or lacks those weights.
    """
    model = file["model"]
    name, args = str(model.get("name")), dict(model["args"])
    if name not in SETTINGS:
        raise CheckpointError(
            f"{source}: holds the network {name!r}; expected {' or '.join(SETTINGS)}"
        )
    key = "sd_e" if weights == "ema" else "sd"
    state = model.get(key)
    if not isinstance(state, Mapping) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(f"{source}: no {weights} weights (model.{key}) in the file")
    known = SETTINGS[name].model_fields.keys()
    ignored = sorted(str(key) for key in args if key not in known)
    args = {k: v for k, v in args.items() if k in known}
    tensors = plain_names(state)
    if name == "eamamba":
        unused = [k for k in tensors if k.startswith("upsample.")]
        ignored += unused
        tensors = {k: v for k, v in tensors.items() if k not in unused}
    if ignored:
        warnings.warn(f"{source}: ignored {', '.join(ignored)}", CheckpointWarning, stacklevel=3)
    return settings_of(args | {"architecture": name}, source), tensors


def settings_of(values: object, source: str) -> ModelSettings:
    """Return the validated settings of a network.

    Raises
    ------
    CheckpointError
        If the network or a setting is unknown.
    """
    architecture = str(values.get("architecture")) if isinstance(values, Mapping) else None
    if architecture not in SETTINGS:
        raise CheckpointError(f"{source}: unknown architecture {architecture!r}")
    try:
        return validate(SETTINGS[architecture], values, source)
    except SettingsError as error:
        raise CheckpointError(str(error)) from None
