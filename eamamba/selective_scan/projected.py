"""The operator ``eamamba::projected_scan``: a shortcut of the selective scan for inference."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from eamamba.selective_scan import cpu


def can_project(x: Tensor, backend: str) -> bool:
    """Return whether `projected_scan` can replace activation, projections and scan of ``x``.

    Graphs (`torch.compile`, exports), gradients and autocast need the separate operators.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and backend in ("auto", "cpu")
        and cpu.available() is None
    )


def projected_scan(
    x: Float[Tensor, "b l k d"],
    weight: Float[Tensor, "k p d"],
    bias: Float[Tensor, "k d"],
    A: Float[Tensor, "k d n"],
    D: Float[Tensor, "k d"],
    order: Int[Tensor, "k l"],
) -> Float[Tensor, "b l k d"]:
    """Scan SiLU(x), with Δ, B and C computed from it pixel by pixel in the CPU kernel.

    With u = SiLU(x), this is `eamamba.selective_scan.selective_scan` of u and of the three parts of
    ``weight`` u: delta (D numbers, plus ``bias``), B and C (N numbers each).

    Parameters
    ----------
    x : Tensor (batch, L, K, D)
        On the CPU, in float32 or float64.
    weight : Tensor (K, D + 2N, D)
    bias : Tensor (K, D)
    A, D, order
        As for the selective scan.

    Returns
    -------
    Tensor (batch, L, K, D)
        Without gradients.
    """
    return torch.ops.eamamba.projected_scan(x, weight, bias, A, D, order)


@torch.library.custom_op("eamamba::projected_scan", mutates_args=())
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, A: Tensor, D: Tensor, order: Tensor
) -> Tensor:
    return cpu.forward_projected(x, weight, bias, A, D, order)


@register_flop_formula(torch.ops.eamamba.projected_scan)
def _flops(x_shape, weight_shape, bias_shape, A_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    """Count a multiply-add as 2: the products, and the scan as the paper does."""
    batch, length, heads, channels = x_shape
    return 2 * batch * length * heads * channels * (weight_shape[1] + 9 * A_shape[-1] + 1)
