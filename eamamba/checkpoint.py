"""Weights on disk: our own files, and the paper's released ones.

Ours are safetensors with the settings as JSON in the header, so that a file is a
model. A released ``.pth`` is translated in one function, `translate_released`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from eamamba import paths
from eamamba.config import (
    EAMambaError,
    EAMambaSettings,
    EAMambaSRSettings,
    ModelSettings,
    SettingsError,
    validate,
)
from eamamba.config.errors import did_you_mean
from eamamba.files import write_atomically
from eamamba.heap import reuse_large_blocks
from eamamba.network import Network, build

FORMAT = "eamamba-1"
SETTINGS: dict[str, type[EAMambaSettings] | type[EAMambaSRSettings]] = {
    "eamamba": EAMambaSettings,
    "eamambasr": EAMambaSRSettings,
}
Weights = Literal["ema", "raw"]


class CheckpointError(EAMambaError, ValueError):
    """A weights file is missing, damaged, hostile or for another network."""

    def _render_traceback_(self) -> list[str]:
        """Say it in one line in Jupyter too, which calls this instead of printing a traceback."""
        return [f"error: {self}"]


class CheckpointWarning(UserWarning):
    """Something in a released file was ignored, on purpose and said here."""


def save_model(
    model: Network,
    path: str | Path,
    *,
    task: str | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write weights and settings to one safetensors file, atomically.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        On any device; tensors keep their type.
    path : path
        Its folder is created.
    task : str, optional
        What the weights were trained for, such as ``denoise_gaussian``.
    extra : dict, optional
        Anything JSON can hold, for the record: training data, figures reached.
    """
    header = {
        "task": task,
        "settings": model.settings.model_dump(mode="json"),
        "extra": extra or {},
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    # one key: the library writes several in no fixed order, and equal weights shall be equal files
    write_atomically(Path(path), save(tensors, {FORMAT: json.dumps(header, sort_keys=True)}))


def read_header(path: str | Path) -> dict[str, Any]:
    """Return ``task``, ``settings`` and ``extra`` of one of our weights files.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not one of ours.
    """
    with _open_safetensors(Path(path)) as file:
        text = (file.metadata() or {}).get(FORMAT)
    if text is None:
        raise CheckpointError(
            f"{path}: no EAMamba settings in its header; expected a file written by save_model"
        )
    try:
        header = json.loads(text)
        return {key: header[key] for key in ("task", "settings", "extra")}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error})") from None


def load_model(
    path_or_name: str | Path, device: str | torch.device = "cpu", weights: Weights = "ema"
) -> Network:
    """Return a ready network in eval mode.

    Parameters
    ----------
    path_or_name : str or path
        A weights file (ours, or a released ``.pth``), a task with weights in the
        package (``denoise_gaussian``), or ``<profile>/<task>`` for the weights that
        the pipeline trained (``laptop/denoise_gaussian``).
    device : str or torch.device
        Where the network goes.
    weights : {"ema", "raw"}
        For released files: the moving average that the published figures use, or
        the weights themselves. Our files hold the average only, and refuse "raw".

    Raises
    ------
    CheckpointError
        If the file cannot be found or read, is not a checkpoint, holds anything but
        tensors and plain values, or its weights do not fit its settings.
    """
    reuse_large_blocks()
    path = find_weights(path_or_name)
    if path.suffix.lower() == ".safetensors":
        if weights == "raw":
            raise CheckpointError(f"{path}: holds the averaged weights only; load it with 'ema'")
        header = read_header(path)
        settings = _validate_settings(header["settings"], str(path))
        with _open_safetensors(path) as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
    else:
        settings, state = translate_released(_unpickle(path), weights, str(path))
    return _build_from_state(settings, state, str(path)).to(device).eval()


def find_weights(path_or_name: str | Path) -> Path:
    """Return the file that a path, a task or ``<profile>/<task>`` means.

    Raises
    ------
    CheckpointError
        If there is no such file; the message lists the tasks that have weights.
    """
    name = str(path_or_name)
    path = Path(path_or_name)
    if path.is_file():
        return path
    shipped = paths.PRETRAINED / f"{name}.safetensors"
    if "/" not in name and shipped.is_file():
        return shipped
    profile, _, task = name.partition("/")
    trained = paths.trained_model(profile, task)
    if task and trained.is_file():
        return trained
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; expected a weights file")
    if task and "/" not in task and not path.suffix:
        raise CheckpointError(
            f"no weights for {task!r} in {trained.parent}; train them first: "
            f"dvc repro train@{task} (profile {profile})"
        )
    tasks = sorted(p.stem for p in paths.PRETRAINED.glob("*.safetensors"))
    raise CheckpointError(
        f"no weights file {name!r}, and no weights for a task of that name"
        f"{did_you_mean(name, tasks) if tasks else '; the package holds none'}"
    )


def translate_released(
    file: object, weights: Weights, source: str
) -> tuple[ModelSettings, dict[str, Tensor]]:
    """Turn the content of a released ``.pth`` into settings and a state dict.

    Keys that the constructor of those files never read (``LayerNorm_type``, so the
    layer norm always had a bias; ``heads``; ``upscale`` of the U-Net) and tensors
    that it never used (``upsample.*`` of the U-Net) are dropped with a
    `CheckpointWarning` that names them.

    Raises
    ------
    CheckpointError
        If the file has another layout or names another network.
    """
    model = file.get("model") if isinstance(file, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(model.get("args"), Mapping):
        raise CheckpointError(
            f"{source}: expected a checkpoint with model.name, model.args and model.sd_e"
        )
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
    tensors = dict(state)
    if name == "eamamba":
        unused = [k for k in tensors if k.startswith("upsample.")]
        ignored += unused
        tensors = {k: v for k, v in tensors.items() if k not in unused}
    if ignored:
        warnings.warn(f"{source}: ignored {', '.join(ignored)}", CheckpointWarning, stacklevel=3)
    return _validate_settings(args | {"architecture": name}, source), tensors


def _validate_settings(values: object, source: str) -> ModelSettings:
    architecture = str(values.get("architecture")) if isinstance(values, Mapping) else None
    if architecture not in SETTINGS:
        raise CheckpointError(f"{source}: unknown architecture {architecture!r}")
    try:
        return validate(SETTINGS[architecture], values, source)
    except SettingsError as error:
        raise CheckpointError(str(error)) from None


def _build_from_state(settings: ModelSettings, state: dict[str, Tensor], source: str) -> Network:
    with torch.device("meta"):
        model = build(settings)
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [k for k in expected if k in state and expected[k].shape != state[k].shape]
    for problem, names in (("lacks", missing), ("has unknown", extra), ("has misshapen", wrong)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{source}: does not fit its settings: {problem} {names[0]}{more}"
            )
    state = {name: tensor.float() for name, tensor in state.items()}
    if bad := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError(
            f"{source}: {bad[0]} holds NaN or infinite values; the training diverged or the "
            "file is damaged"
        )
    model.load_state_dict(state, assign=True)
    return model


def _open_safetensors(path: Path) -> Any:
    try:
        return safe_open(str(path), "pt")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from None


def _unpickle(path: Path) -> object:
    """Read a ``.pth`` without running anything in it."""
    # a released file also holds the state of its random generators, which may be NumPy's
    harmless: list[Any] = [
        _reconstruct,
        (_reconstruct, "numpy.core.multiarray._reconstruct"),  # its name in NumPy 1
        np.ndarray,
        np.dtype,
        type(np.dtype(np.uint32)),
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(harmless):
            warnings.simplefilter("ignore")  # about pickles that torch did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, and only some are documented
        reason = " ".join(str(error).split(". ")[0].split()) or type(error).__name__
        if "Unsupported" in str(error) or "weights_only" in str(error).lower():
            raise CheckpointError(
                f"{path}: refused: holds objects other than tensors and plain values, which "
                "could run code when loaded"
            ) from None
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None
