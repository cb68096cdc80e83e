"""Bare state dicts, as most training programs write them: settings are inferred from shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from eamamba.checkpoint.errors import CheckpointError, CheckpointWarning
from eamamba.checkpoint.released import Weights, settings_of
from eamamba.checkpoint.wrappers import plain_names
from eamamba.config import ModelSettings

_CONTAINERS: dict[Weights, tuple[str, ...]] = {
    "ema": ("params_ema", "params", "state_dict", "model"),
    "raw": ("params", "state_dict", "model"),
}
_FIRST = {"eamamba": "patch_embed.proj.weight", "eamambasr": "conv_first.weight"}


def translate_state_dict(
    file: object, weights: Weights, source: str
) -> tuple[ModelSettings, dict[str, Tensor]]:
    """Convert a state dict, alone or inside a common container, to settings and a state dict.

    The scan order, which shapes do not reveal, is assumed to be the paper's; a `CheckpointWarning`
    says so, and names other tensors, which are ignored.

    Raises
    ------
    CheckpointError
        If the file holds none of our networks.
    """
    tensors = _tensors(file, weights)
    for architecture, first in _FIRST.items():
        prefix = _prefix(tensors, first, weights)
        if prefix is None:
            continue
        state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        try:
            values = _settings(architecture, state)
        except (KeyError, IndexError, ValueError) as error:
            raise CheckpointError(
                f"{source}: not the tensors of {architecture}: {error} is missing"
            ) from None
        ignored = [name for name in tensors if not name.startswith(prefix)]
        rest = f"; ignored {', '.join(ignored)}" if ignored else ""
        text = f"{source}: no settings; inferred from shapes, with the paper's scan_type"
        warnings.warn(f"{text}{rest}", CheckpointWarning, stacklevel=3)
        return settings_of(values, source), state
    raise CheckpointError(
        f"{source}: expected a checkpoint with model.name, model.args and model.sd_e, or the "
        f"{weights} weights of such a network alone or under {', '.join(_CONTAINERS[weights])}"
    )


def _tensors(file: object, weights: Weights) -> dict[str, Tensor]:
    """Return the named tensors of a file; empty if it holds no state dict."""
    if not isinstance(file, Mapping):
        return {}
    for key in _CONTAINERS[weights]:
        if isinstance(file.get(key), Mapping):
            return _tensors(file[key], weights)
    return plain_names({str(k): t for k, t in file.items() if isinstance(t, Tensor)})


def _prefix(tensors: dict[str, Tensor], first: str, weights: Weights) -> str | None:
    """Return the prefix of the network's tensor names: ``model.`` or ``net_g.``, often empty.

    Of several networks, the one with or without an "ema" in its prefix is chosen, by `weights`.
    """
    found = [
        name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")
    ]
    found.sort(key=lambda prefix: ("ema" in prefix) != (weights == "ema"))
    return found[0] if found else None


def _settings(architecture: str, state: dict[str, Tensor]) -> dict[str, Any]:
    shape = {name: tuple(tensor.shape) for name, tensor in state.items()}
    first = shape[_FIRST[architecture]]
    common = {"architecture": architecture, "dim": first[0], "inp_channels": first[1]}
    common |= _block_settings(shape)
    if architecture == "eamambasr":
        groups = _count(shape, r"layers\.(\d+)\.")
        enlarged = shape["upsample.0.weight"][0] // first[0]
        twice = "upsample.2.weight" in shape
        return common | {
            "out_channels": shape["conv_last.weight"][0],
            "bias": "conv_first.bias" in shape,
            "num_blocks": [_count(shape, rf"layers\.{n}\.blocks\.(\d+)\.") for n in range(groups)],
            "upscale": 4 if twice else {4: 2, 9: 3}.get(enlarged),
        }
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    return common | {
        "out_channels": shape["output.weight"][0],
        "bias": "output.bias" in shape,
        "num_blocks": [_count(shape, rf"{level}\.(\d+)\.") for level in levels],
        "num_refinement_blocks": _count(shape, r"refinement\.(\d+)\."),
        "dual_pixel_task": "skip_conv.weight" in shape,
    }


def _block_settings(shape: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the settings of the blocks, which differ only in width."""
    ending = "mamba.out_proj.weight"
    found = [(shape[name], name.removesuffix(ending)) for name in shape if name.endswith(ending)]
    if not found:
        return {}
    # widths were rounded, so the widest block gives the most exact ratios
    (_, inner), block = max(found)
    heads, _, per_head = shape[f"{block}mamba.x_proj_weight"]
    conv = shape[f"{block}mamba.conv.weight"]
    mamba = {
        "scan_count": heads,
        "scan_merge_method": "add" if heads > 1 and per_head == inner else "concate",
        "disable_z_branch": shape[f"{block}mamba.in_proj.weight"][0] == inner,
        "d_state": shape[f"{block}mamba.A_logs"][1],
        "d_conv": conv[-1],
        "expand": _ratio((wide, width) for (width, wide), _ in found),
        "conv_2d": len(conv) == 4,
    }
    norm = "WithBias" if f"{block}norm1.body.bias" in shape else "BiasFree"
    common = {"mamba_cfg": mamba, "layernorm_type": norm}
    if f"{block}ffn.conv1.weight" in shape:
        return common | {"channel_mixer_type": "cca"}
    hidden = shape[f"{block}ffn.project_in.weight"][0]
    gated = f"{block}ffn.dwconv.weight" in shape
    plain = shape[f"{block}ffn.project_out.weight"][1] == hidden
    parts = 2 if gated else 1
    widths = ((shape[f"{b}ffn.project_in.weight"][0] // parts, size[0]) for size, b in found)
    return common | {
        "channel_mixer_type": "gdfn" if gated else "ffn" if plain else "simple",
        "ffn_expansion_factor": _ratio(widths),
    }


def _ratio(widths: Iterable[tuple[int, int]]) -> float:
    """Return a factor that gives each width when multiplied by its channels and rounded down."""
    pairs = set(widths)
    wide, channels = max(pairs)
    for factor in (wide / channels, (wide + 0.5) / channels):
        if all(int(factor * c) == w for w, c in pairs):
            return factor
    return wide / channels


def _count(names: Iterable[str], pattern: str) -> int:
    """Return how many different numbers a pattern finds at the start of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})
