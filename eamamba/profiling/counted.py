"""Count parameters and FLOPs on the ``meta`` device, without computing anything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings, ModelSettings
from eamamba.network import Network, build

DOUBLING_SIZES = (32, 64, 128, 256, 512, 1024, 2048)
KINDS = ("convolutions", "in_proj", "out_proj", "x_proj+dt_proj", "scan", "out_norm", "pooling")


@dataclass(frozen=True)
class Complexity:
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


def _paper_network(size: int = 256, **changes: Any) -> tuple[ModelSettings, int]:
    """Return the paper's network with some settings changed, and the input size."""
    scan = {name: changes.pop(name) for name in MambaSettings.model_fields.keys() & changes.keys()}
    return EAMambaSettings(**changes, mamba_cfg=MambaSettings(**scan)), size


PAPER_NETWORKS: dict[str, tuple[ModelSettings, int]] = {
    "eamamba": _paper_network(),
    "heads_4": _paper_network(scan_count=4),
    "baseline_2dssm": _paper_network(scan_merge_method="add"),
    "baseline_2dssm_4_scans": _paper_network(scan_merge_method="add", scan_count=4),
    "ffn": _paper_network(channel_mixer_type="ffn"),
    "gdfn": _paper_network(channel_mixer_type="gdfn"),
    "cca": _paper_network(channel_mixer_type="cca"),
    "no_gate": _paper_network(disable_z_branch=True),
    "expand_2": _paper_network(expand=2),
    "dual_pixel": _paper_network(size=128, dual_pixel_task=True, inp_channels=6),
    "sr_light_x2": (EAMambaSRSettings(upscale=2), 64),
    "sr_light_x3": (EAMambaSRSettings(upscale=3), 64),
    "sr_light_x4": (EAMambaSRSettings(upscale=4), 64),
}
"""``network`` in ``data/paper/complexity.csv`` -> its settings and input size in pixels."""


def baseline_2dssm(settings: EAMambaSettings) -> EAMambaSettings:
    """Return the baseline in the paper's ablation that corresponds to a network.

    Every scan processes all channels and the results are added (the 2DSSM of vision Mambas),
    whereas the multi-head module splits the channels among the scans.
    """
    scan = settings.mamba_cfg.model_copy(update={"scan_merge_method": "add"})
    return settings.model_copy(update={"mamba_cfg": scan})


def complexity(settings: ModelSettings, size: int = 256) -> Complexity:
    """Count the parameters and FLOPs of a network.

    Parameters
    ----------
    settings : EAMambaSettings or EAMambaSRSettings
    size : int
        Height and width of the input in pixels, a multiple of 8 for `EAMamba`.

    Returns
    -------
    Complexity

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
    model, image = _on_meta(settings, size)
    by_kind = {kind: flops / 2e9 for kind, flops in _flops_by_kind(_counts(model, image)).items()}
    return Complexity(
        size=size,
        parameters=sum(p.numel() for p in model.parameters()),
        gflops=math.fsum(by_kind.values()),
        gflops_by_kind=by_kind,
    )


def _on_meta(settings: ModelSettings, size: int) -> tuple[Network, Tensor]:
    """Return a network and an image for it, neither of which holds any numbers."""
    with torch.device("meta"):
        return build(settings), torch.empty(1, settings.inp_channels, size, size)


def _counts(model: Network, image: Tensor) -> dict[str, dict[Any, int]]:
    """Return twice the FLOPs of each module, by operator; see `complexity`."""
    aten = torch.ops.aten
    conventions = {aten.native_layer_norm: _layer_norm_flops, aten.mean: _pooling_flops}
    counter = FlopCounterMode(display=False, custom_mapping=conventions)
    with torch.no_grad(), counter:
        model(image)
    return counter.get_flop_counts()


# Doubled like all formulas of PyTorch's counter, which counts a multiply-add as two.
def _layer_norm_flops(input_shape: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * 5 * math.prod(input_shape)


def _pooling_flops(input_shape: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(input_shape)


def _flops_by_kind(counts: dict[str, dict[Any, int]]) -> dict[str, int]:
    """Group the counts of modules and operators by `KINDS`, without the block norms."""
    aten, scan = torch.ops.aten, torch.ops.eamamba.selective_scan

    def flops_in(module: str, *operators: Any) -> int:
        """Sum operators (by default all) over the modules with this name."""
        chosen = [flops for name, flops in counts.items() if name.endswith(f".{module}")]
        return sum(
            n for flops in chosen for op, n in flops.items() if not operators or op in operators
        )

    matrix = (aten.mm, aten.addmm)
    kinds = {
        "in_proj": flops_in("mamba", *matrix) - flops_in("out_proj", *matrix),
        "out_proj": flops_in("out_proj"),
        "x_proj+dt_proj": flops_in("mamba", aten.bmm, aten.baddbmm),
        "scan": flops_in("mamba", scan),
        "out_norm": flops_in("out_norm"),
        "pooling": flops_in("ca", aten.mean),
    }
    everything = sum(counts["Global"].values()) - flops_in("body", aten.native_layer_norm)
    return {"convolutions": everything - sum(kinds.values())} | kinds


BETWEEN = "between them"


@dataclass(frozen=True)
class Layer:
    """A part of a network: a module, with everything inside it.

    Attributes
    ----------
    name : str
        Its path, such as ``encoder_level1.0.mamba``; `BETWEEN` for pointwise convolutions that
        the network computes as matrix products, outside of their modules.
    kind : str
        Its class.
    output : tuple of int
        Shape of what it returns for one image; empty for `BETWEEN`.
    parameters : int
    gflops : float
        As for `Complexity`.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    gflops: float


def layers(settings: ModelSettings, size: int = 256, depth: int = 3) -> list[Layer]:
    """Return the parts of a network in the order in which they run.

    Parameters
    ----------
    settings, size : as for `complexity`
    depth : int
        How deep to look: 1 for the stages of the network, 2 for their blocks, 3 for the parts of
        these.
    """
    model, image = _on_meta(settings, size)
    shapes: dict[str, tuple[int, ...]] = {}
    modules = {name: module for name, module in model.named_modules() if name}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.update({name: tuple(output.shape)})
        )
    counts = _counts(model, image)
    root = type(model).__name__
    found = [
        Layer(
            name,
            type(module).__name__,
            shapes[name],
            sum(weight.numel() for weight in module.parameters()),
            _flops_within(f"{root}.{name}", counts) / 2e9,
        )
        for name, module in modules.items()
        if name in shapes and name.count(".") < depth
    ]
    names = {layer.name for layer in found}
    outermost = [x for x in found if not any(x.name.startswith(f"{name}.") for name in names)]
    rest = (
        sum(weight.numel() for weight in model.parameters()) - sum(x.parameters for x in outermost),
        _flops_within(root, counts) / 2e9 - math.fsum(x.gflops for x in outermost),
    )
    return [*found, Layer(BETWEEN, root, (), *rest)] if rest[0] else found


def _flops_within(name: str, counts: dict[str, dict[Any, int]]) -> int:
    """Return the FLOPs of a module without the block norms in it, doubled like all counts."""
    norm = torch.ops.aten.native_layer_norm
    norms = (
        flops.get(norm, 0)
        for inner, flops in counts.items()
        if f"{inner}.".startswith(f"{name}.") and inner.endswith(".body")
    )
    return sum(counts.get(name, {}).values()) - sum(norms)


def complexity_by_size(
    settings: ModelSettings, sizes: Iterable[int] = DOUBLING_SIZES
) -> list[Complexity]:
    """Return the complexity of a network at each input size, in pixels; see `complexity`."""
    return [complexity(settings, size) for size in sizes]
