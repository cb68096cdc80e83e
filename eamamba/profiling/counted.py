"""Count parameters and FLOPs on the ``meta`` device, without computing anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.network import build

AnyModelSettings = EAMambaSettings | EAMambaSRSettings

DOUBLING_SIZES = (32, 64, 128, 256, 512, 1024, 2048)
KINDS = ("convolutions", "in_proj", "out_proj", "x_proj+dt_proj", "scan", "out_norm", "pooling")


@dataclass(frozen=True)
class Profile:
    """Size and cost of one network at one input size.

    Attributes
    ----------
    size : int
        Height and width of the input in pixels; the batch holds one image.
    parameters : int
    gflops : float
        In units of 10^9; one multiply-add = 1 FLOP.
    gflops_by_kind : dict
        The same, split into `KINDS` of work; ``convolutions`` are those outside the projections of
        the scan module, including pointwise ones.
    """

    size: int
    parameters: int
    gflops: float
    gflops_by_kind: dict[str, float]


def _paper(size: int = 256, **changes: Any) -> tuple[AnyModelSettings, int]:
    """Return the paper's network with some settings changed, along with the input size."""
    scan = {name: changes.pop(name) for name in MambaSettings.model_fields.keys() & changes.keys()}
    return EAMambaSettings(**changes, mamba_cfg=MambaSettings(**scan)), size


PAPER_VARIANTS: dict[str, tuple[AnyModelSettings, int]] = {
    "paper (concat 8 heads diagonal+raster simple mixer)": _paper(),
    "concat 2 or 4 heads": _paper(scan_count=4),
    "add merge 8 scans (the 2DSSM baseline of the ablation)": _paper(scan_merge_method="add"),
    "add merge 4 scans": _paper(scan_merge_method="add", scan_count=4),
    "ffn mixer": _paper(channel_mixer_type="ffn"),
    "gdfn mixer": _paper(channel_mixer_type="gdfn"),
    "cca mixer": _paper(channel_mixer_type="cca"),
    "no gate (z branch disabled)": _paper(disable_z_branch=True),
    "expand 2": _paper(expand=2),
    "dual pixel": _paper(size=128, dual_pixel_task=True, inp_channels=6),
    "light SR x2": (EAMambaSRSettings(upscale=2), 64),
    "light SR x3": (EAMambaSRSettings(upscale=3), 64),
    "light SR x4": (EAMambaSRSettings(upscale=4), 64),
}
"""Row of ``data/paper/complexity.csv`` -> its network and input size in pixels."""


def baseline_2dssm(settings: EAMambaSettings) -> EAMambaSettings:
    """Return a network's counterpart of the baseline in the paper's ablation.

    Every scan processes all channels and the results are added (the 2DSSM of vision Mambas),
    whereas the multi-head module splits the channels among the scans.
    """
    scan = settings.mamba_cfg.model_copy(update={"scan_merge_method": "add"})
    return settings.model_copy(update={"mamba_cfg": scan})


def profile(settings: AnyModelSettings, size: int = 256) -> Profile:
    """Count the parameters and FLOPs of a network.

    Parameters
    ----------
    settings : EAMambaSettings or EAMambaSRSettings
    size : int
        Height and width of the input in pixels, a multiple of 8 for `EAMamba`.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        If the network does not accept images of that size.

    Notes
    -----
    The paper's convention is one multiply-add = 1 FLOP. The scan costs 9 L D N + L D for a total of
    D channels, ``out_norm`` costs 5 L d_inner, and the pooling of the CCA mixer costs 1 per input
    element. Block norms, biases, activations and shuffles are not counted. Everything that the
    network executes is counted: merging the two Δ projections adds 0.01 GFLOPs of weight products
    to the paper's model at any image size.
    """
    with torch.device("meta"):
        model = build(settings)
        image = torch.empty(1, settings.inp_channels, size, size)
    aten = torch.ops.aten
    conventions = {aten.native_layer_norm: _layer_norm_flops, aten.mean: _pooling_flops}
    counter = FlopCounterMode(display=False, custom_mapping=conventions)
    with torch.no_grad(), counter:
        model(image)
    by_kind = {kind: flops / 2e9 for kind, flops in _by_kind(counter.get_flop_counts()).items()}
    return Profile(
        size=size,
        parameters=sum(p.numel() for p in model.parameters()),
        gflops=math.fsum(by_kind.values()),
        gflops_by_kind=by_kind,
    )


# Doubled like all formulas of PyTorch's counter, which counts a multiply-add as two.
def _layer_norm_flops(input_shape: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * 5 * math.prod(input_shape)


def _pooling_flops(input_shape: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(input_shape)


def _by_kind(counts: dict[str, dict[Any, int]]) -> dict[str, int]:
    """Group the counts of modules and operators by `KINDS`, without the block norms."""
    aten, scan = torch.ops.aten, torch.ops.eamamba.selective_scan

    def within(module: str, *operators: Any) -> int:
        """Sum operators (by default all) over the modules with this name."""
        chosen = [flops for name, flops in counts.items() if name.endswith(f".{module}")]
        return sum(
            n for flops in chosen for op, n in flops.items() if not operators or op in operators
        )

    matrix = (aten.mm, aten.addmm)
    kinds = {
        "in_proj": within("mamba", *matrix) - within("out_proj", *matrix),
        "out_proj": within("out_proj"),
        "x_proj+dt_proj": within("mamba", aten.bmm, aten.baddbmm),
        "scan": within("mamba", scan),
        "out_norm": within("out_norm"),
        "pooling": within("ca", aten.mean),
    }
    everything = sum(counts["Global"].values()) - within("body", aten.native_layer_norm)
    return {"convolutions": everything - sum(kinds.values())} | kinds


def complexity_by_size(
    settings: AnyModelSettings, sizes: Iterable[int] = DOUBLING_SIZES
) -> list[Profile]:
    """Return the profile of a network at each input size, in pixels; see `profile`."""
    return [profile(settings, size) for size in sizes]
