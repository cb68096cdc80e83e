"""The selective scan as written in the paper: a loop that any reader can check.

Every other backend is tested against this one, run in float64.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus


def available() -> str | None:
    """Return None: plain PyTorch is always available, on any device."""
    return None


def state_size(batch: int, length: int, heads: int, channels: int, states: int) -> int:
    """Return 0: the backward pass runs the loop again instead of keeping states."""
    return 0


def scan(
    u: Float[Tensor, "b l k d"],
    delta: Float[Tensor, "b l k d"],
    A: Float[Tensor, "k d n"],
    B: Float[Tensor, "b l k n"],
    C: Float[Tensor, "b l k n"],
    D: Float[Tensor, "k d"],
    order: Int[Tensor, "k l"],
) -> Float[Tensor, "b l k d"]:
    """Run the recurrence h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t, y_t = C_t h_t + D u_t.

    Differentiable; shapes and units as in `eamamba.selective_scan.selective_scan`.
    """
    heads = torch.arange(order.shape[0], device=u.device)
    h = u.new_zeros(u.shape[0], *A.shape)
    y = []
    for p in order.long().unbind(1):  # p[k]: the pixel that head k visits now
        Δ = softplus(delta[:, p, heads])[..., None]
        h = torch.exp(Δ * A) * h + Δ * u[:, p, heads][..., None] * B[:, p, heads][..., None, :]
        y.append((h * C[:, p, heads][..., None, :]).sum(-1) + D * u[:, p, heads])
    back = order.long().argsort(-1).T  # visiting order -> raster order
    return torch.stack(y, 1)[:, back, heads]


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
    """Return ``y`` and an empty state buffer."""
    return scan(u, delta, A, B, C, D, order).contiguous(), u.new_empty(0)


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
    """Return the gradients of u, delta, A, B, C, D by running the recurrence backwards."""
    heads = torch.arange(order.shape[0], device=u.device)
    visits = order.long().unbind(1)
    h = [u.new_zeros(u.shape[0], *A.shape)]
    for p in visits:
        Δ = softplus(delta[:, p, heads])[..., None]
        h.append(torch.exp(Δ * A) * h[-1] + Δ * u[:, p, heads][..., None] * B[:, p, heads, None])
    grad_u, grad_delta, grad_B, grad_C = (x.new_zeros(x.shape) for x in (u, delta, B, C))
    grad_A = A.new_zeros(A.shape)
    grad_h = torch.zeros_like(h[0])
    for t, p in reversed(list(enumerate(visits))):
        g, x, step = grad_y[:, p, heads], u[:, p, heads], delta[:, p, heads]
        Δ = softplus(step)[..., None]
        decay = torch.exp(Δ * A)
        grad_h = grad_h + g[..., None] * C[:, p, heads, None]
        into_exponent = grad_h * decay * h[t]
        into_input = (grad_h * B[:, p, heads, None]).sum(-1)
        grad_A += (into_exponent * Δ).sum(0)
        grad_C[:, p, heads] = (g[..., None] * h[t + 1]).sum(-2)
        grad_B[:, p, heads] = (grad_h * Δ * x[..., None]).sum(-2)
        grad_u[:, p, heads] = into_input * Δ[..., 0] + D * g
        grad_Δ = (into_exponent * A).sum(-1) + into_input * x
        grad_delta[:, p, heads] = grad_Δ * torch.sigmoid(step)
        grad_h = grad_h * decay
    return grad_u, grad_delta, grad_A, grad_B, grad_C, (grad_y * u).sum((0, 1))
