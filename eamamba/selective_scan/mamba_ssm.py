"""The selective scan on CUDA, through the kernel of the mamba-ssm package.

That kernel scans (batch, channels, steps) from first to last, so everything is first
gathered into each head's visiting order, and the results are scattered back.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

STEPS_PER_STATE = 2048  # the kernel keeps one pair of states per 2048 steps


def available() -> str | None:
    """Return None if the kernel can run here, otherwise what it needs."""
    if find_spec("selective_scan_cuda") is None:
        return (
            "build mamba-ssm with its kernel: "
            "MAMBA_KEEP_CUDA_BUILD=TRUE pip install mamba-ssm --no-build-isolation"
        )
    if not torch.cuda.is_available():
        return "it needs a CUDA device"
    return None


def state_size(batch: int, length: int, heads: int, channels: int, states: int) -> int:
    """Return the size of the states kept for the backward pass, a pair for every 2048 steps."""
    return batch * heads * channels * -(-length // STEPS_PER_STATE) * 2 * states


def forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    order: Tensor,
    save_states: bool,
) -> tuple[Tensor, Tensor]:
    """Return y and, if requested, the kernel's states; see `eamamba.selective_scan`."""
    import selective_scan_cuda

    visits = order.long()[:, None]
    inputs = _kernel_inputs(u, delta, A, B, C, D, visits)
    y, states = selective_scan_cuda.fwd(*inputs, None, None, True)
    return _scatter_to_raster(y, visits, u.shape), states.flatten() if save_states else u.new_empty(
        0
    )


def backward(
    grad_y: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    order: Tensor,
    states: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients of u, delta, A, B, C, D, contiguous."""
    import selective_scan_cuda

    visits = order.long()[:, None]
    inputs = _kernel_inputs(u, delta, A, B, C, D, visits)
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, *_ = selective_scan_cuda.bwd(
        *inputs, None, None,
        _gather_in_order(grad_y, visits).flatten(1, 2),
        states.view(u.shape[0], A.shape[0] * A.shape[1], -1, 2 * A.shape[2]),
        None, None, True, False,
    )  # fmt: skip
    return (
        _scatter_to_raster(grad_u, visits, u.shape),
        _scatter_to_raster(grad_delta, visits, delta.shape),
        grad_A.view(A.shape),
        _scatter_to_raster(grad_B, visits, B.shape),
        _scatter_to_raster(grad_C, visits, C.shape),
        grad_D.view(D.shape),
    )


def _kernel_inputs(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, visits: Tensor
) -> tuple[Tensor, ...]:
    """Return the inputs as the kernel takes them: heads and channels in one axis, steps last."""
    return (
        _gather_in_order(u, visits).flatten(1, 2),
        _gather_in_order(delta, visits).flatten(1, 2),
        A.flatten(0, 1).contiguous(),
        _gather_in_order(B, visits),
        _gather_in_order(C, visits),
        D.flatten().contiguous(),
    )


def _gather_in_order(x: Tensor, visits: Tensor) -> Tensor:
    """Gather (batch, L, K, X) in raster order to (batch, K, X, L) in visiting order."""
    rows = x.permute(0, 2, 3, 1)
    return rows.gather(3, visits.expand(rows.shape))


def _scatter_to_raster(x: Tensor, visits: Tensor, shape: torch.Size) -> Tensor:
    """Scatter (batch, K, X, L), or with K and X in one axis, back to (batch, L, K, X)."""
    raster = x.new_empty(shape)
    rows = raster.permute(0, 2, 3, 1)
    rows.scatter_(3, visits.expand(rows.shape), x.view(rows.shape))
    return raster
