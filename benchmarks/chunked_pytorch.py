"""A selective scan in plain PyTorch, as fast as eager operations allow, for comparison.

All chunks of the sequence are stepped through in parallel. A first pass starts every chunk from 0
and computes its contribution to the state. The states at the chunk boundaries are then computed one
by one, and a second pass starts from them and computes y.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def chunked_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    order: Tensor,
    chunk: int = 256,
) -> Tensor:
    """Scan as `eamamba.selective_scan.selective_scan` does; L must be a multiple of ``chunk``."""
    heads = torch.arange(u.shape[2])
    visits = order.long().T  # (L, K)

    def steps(x: Tensor) -> tuple[Tensor, ...]:
        """Rearrange (batch, L, K, ·) into visiting order: one (batch, chunks, K, ·) per step."""
        x = x[:, visits, heads]
        return x.view(x.shape[0], -1, chunk, *x.shape[2:]).unbind(2)

    Δ = softplus(delta)
    sequence = list(zip(steps(Δ), steps(Δ * u), steps(B), strict=True))
    added, _ = _run_chunks(sequence, A, torch.zeros(()))
    decay = torch.exp(sum(Δ_t for Δ_t, _, _ in sequence)[..., None] * A)
    border = [torch.zeros_like(added[:, 0])]
    for i in range(added.shape[1] - 1):
        border.append(decay[:, i] * border[-1] + added[:, i])
    _, y = _run_chunks(sequence, A, torch.stack(border, 1), steps(C))
    in_order = torch.stack(y, 2).reshape(u.shape)
    return in_order[:, visits.argsort(0), heads] + D * u


def _run_chunks(
    sequence: list[tuple[Tensor, Tensor, Tensor]],
    A: Tensor,
    h: Tensor,
    C: tuple[Tensor, ...] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Return the last state of each chunk and, if C is given, y of each step."""
    y = []
    for t, (Δ, x, B) in enumerate(sequence):
        h = torch.exp(Δ[..., None] * A) * h + x[..., None] * B[..., None, :]
        if C:
            y.append((h * C[t][..., None, :]).sum(-1))
    return h, y
