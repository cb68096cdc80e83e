"""Saving and loading networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from eamamba import paths
from eamamba.checkpoint.errors import CheckpointError
from eamamba.checkpoint.int8 import from_int8, to_int8
from eamamba.checkpoint.other_programs import translate_state_dict
from eamamba.checkpoint.released import Weights, is_released, settings_of, translate_released
from eamamba.checkpoint.unpickling import unpickle
from eamamba.checkpoint.wrappers import plain_names, unwrapped
from eamamba.config import ModelSettings
from eamamba.config.errors import did_you_mean
from eamamba.files import write_atomically
from eamamba.heap import reuse_large_blocks
from eamamba.network import Network, build

FORMAT = "eamamba-1"


def save_model(
    model: nn.Module,
    path: str | Path,
    *,
    task: str | None = None,
    extra: dict[str, Any] | None = None,
    int8: bool = False,
) -> None:
    """Write weights and settings to one safetensors file, atomically.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        On any device; tensors keep their dtype. It may be compiled, or inside PyTorch's wrappers
        for several devices or for averages.
    path : path
        Its folder is created if missing.
    task : str, optional
        What the weights were trained for, such as ``denoise_gaussian``.
    extra : dict, optional
        Anything that JSON can hold, for the record: training data, scores.
    int8 : bool
        Store matrices and convolutions in one byte per weight and the rest in half precision;
        see `to_int8`. Networks compute in float32 with the rounded weights.

    Raises
    ------
    CheckpointError
        If a weight is NaN or infinite; an existing file is left unchanged.
    """
    network = unwrapped(model)
    header = {
        "task": task,
        "settings": network.settings.model_dump(mode="json"),
        "extra": extra or {},
    }
    state = plain_names(network.state_dict())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    tensors = to_int8(tensors) if int8 else tensors
    if bad := _not_finite(tensors):
        raise CheckpointError(
            f"{path}: not written: {bad} holds NaN or infinite values; the training diverged"
        )
    # one key: the library writes several in no fixed order, but equal weights should give equal
    # files
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
        A weights file (ours, a released ``.pth``, or one of another training program with such a
        network), a folder with a ``model.safetensors``, the name of weights in the package
        (``denoise_gaussian``) or in another of `paths.weights_folders`, or ``<profile>/<task>`` for
        weights trained by the pipeline (``laptop/denoise_gaussian``, ``laptop/ablations/zigzag``).
    device : str or torch.device
        Where to put the network.
    weights : {"ema", "raw"}
        For a ``.pth``: the moving average that the published figures use, or the
        weights themselves. Our files hold only the average and refuse "raw".

    Raises
    ------
    CheckpointError
        If the file cannot be found or read, is not a checkpoint, holds anything other than tensors
        and plain values, or its weights do not match its settings.
    """
    reuse_large_blocks()
    path = find_weights(path_or_name)
    if path.suffix.lower() == ".safetensors":
        if weights == "raw":
            raise CheckpointError(f"{path}: holds the averaged weights only; load it with 'ema'")
        header = read_header(path)
        settings = settings_of(header["settings"], str(path))
        with _open_safetensors(path) as file:
            state = plain_names({name: file.get_tensor(name) for name in file.keys()})
        state = _unquantised(state, str(path))
    else:
        content, source = unpickle(path), str(path)
        if is_released(content):
            settings, state = translate_released(content, weights, source)
        else:
            settings, state = translate_state_dict(content, weights, source)
    return _build_from_state(settings, state, str(path)).to(device).eval()


def find_weights(path_or_name: str | Path) -> Path:
    """Return the file that a path, a task or ``<profile>/<task>`` refers to.

    Raises
    ------
    CheckpointError
        If there is no such file; the message lists the tasks that have weights.
    """
    name = str(path_or_name)
    path = Path(path_or_name)
    if path.is_file():
        return path
    if (
        path / "model.safetensors"
    ).is_file():  # the folder of a training run, or a repository of the Hub
        return path / "model.safetensors"
    named = named_weights()
    if name in named:
        return named[name]
    profile, _, task = name.partition("/")
    variant = task.removeprefix("ablations/")
    if variant and "/" not in variant and not path.suffix:
        trained = paths.trained_model(profile, task)
        if trained.is_file():
            return trained
        stage = f"train@{task}" if variant == task else f"ablation@{variant}"
        raise CheckpointError(
            f"no weights for {task!r} in {trained.parent}; train them first: "
            f"dvc repro {stage} (profile {profile})"
        )
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; expected a weights file")
    raise CheckpointError(
        f"no weights file {name!r}, and no weights of that name"
        f"{did_you_mean(name, named) if named else '; the package holds none'}"
    )


def named_weights() -> dict[str, Path]:
    """Return the weights that can be loaded by name: those of `paths.weights_folders`, sorted.

    If several files have the same name, that of the first folder is used.
    """
    found = [path for folder in paths.weights_folders() for path in folder.glob("*.safetensors")]
    return dict(sorted({path.stem: path for path in reversed(found)}.items()))


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
                f"{source}: does not match its settings: {problem} {names[0]}{more}"
            )
    state = {name: tensor.float() for name, tensor in state.items()}
    if bad := _not_finite(state):
        raise CheckpointError(
            f"{source}: {bad} holds NaN or infinite values; the training diverged or the "
            "file is damaged"
        )
    model.load_state_dict(state, assign=True)
    return model


def _unquantised(state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    try:
        return from_int8(state)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{source}: its 8-bit weights lack fitting scales: {error}") from None


def _not_finite(state: dict[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or infinite value."""
    return next((name for name, t in state.items() if not torch.isfinite(t).all()), None)


def _open_safetensors(path: Path) -> Any:
    try:
        return safe_open(str(path), "pt")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from None
