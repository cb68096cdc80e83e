"""The operator ``eamamba::selective_scan`` of PyTorch, and the choice of its backend."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from eamamba.config import EAMambaError

Backend = Literal["auto", "reference", "cpu", "triton", "mamba_ssm"]
BACKENDS: tuple[str, ...] = ("reference", "cpu", "triton", "mamba_ssm")


class BackendError(EAMambaError, RuntimeError):
    """The chosen backend is unknown, not installed or not for this device."""


def selective_scan(
    u: Float[Tensor, "b l k d"],
    delta: Float[Tensor, "b l k d"],
    A: Float[Tensor, "k d n"],
    B: Float[Tensor, "b l k n"],
    C: Float[Tensor, "b l k n"],
    D: Float[Tensor, "k d"],
    order: Int[Tensor, "k l"],
    backend: Backend = "auto",
) -> Float[Tensor, "b l k d"]:
    """Scan every head over the pixels in its own order.

    For t = 0 … L-1, with p = order[k, t] and h = 0 at the start::

        Δ = softplus(delta[b, p, k])
        h = exp(Δ A[k]) h + Δ u[b, p, k] B[b, p, k]
        y[b, p, k] = C[b, p, k] h + D[k] u[b, p, k]

    All tensors stay in raster order, channels last; the kernels read and write
    through ``order``, so nothing is gathered, flipped or transposed.

    Parameters
    ----------
    u : Tensor (batch, L, K, D)
        Input of K heads with D channels at L pixels; any strides, including a stride of 0 over the
        heads (every head reads the same channels).
    delta : Tensor (batch, L, K, D)
        Step size before the softplus.
    A : Tensor (K, D, N)
        Decay rates, negative.
    B, C : Tensor (batch, L, K, N)
        Input and output projections of each pixel.
    D : Tensor (K, D)
        Skip weights.
    order : Tensor (K, L), int32
        ``order[k, t]`` is the raster index of the pixel that head k visits at step t;
        each row must be a permutation (`eamamba.network.scan_order.scan_order` returns them).
    backend : str
        ``auto`` takes ``cpu`` for tensors on a CPU, ``triton`` (or, without it,
        ``mamba_ssm``) for CUDA tensors, ``reference`` for other devices.

    Returns
    -------
    Tensor (batch, L, K, D)
        In raster order, with the dtype of ``u``.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not match.
    BackendError
        If the backend is unknown or cannot run here; the message says how to get it.

    Notes
    -----
    Paper section 3.2; the recurrence is equation (2) of Mamba (Gu and Dao, 2023) with
    the zero-order hold for A and the Euler rule for B.
    """
    _check_inputs(u, delta, A, B, C, D, order)
    inputs = (u, delta, A, B, C, D)
    save_states = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    y, _ = torch.ops.eamamba.selective_scan(*inputs, order, backend, save_states)
    return y


def _backend_module(backend: str, device: torch.device) -> ModuleType:
    """Return the module that ``backend`` selects on ``device``, checked to be usable."""
    if backend == "auto" and device.type == "cuda":
        backend = "triton" if _import_backend("triton").available() is None else "mamba_ssm"
    elif backend == "auto":
        backend = "cpu" if device.type == "cpu" else "reference"
    if backend not in BACKENDS:
        raise BackendError(
            f"no selective scan backend {backend!r}; choose auto, {', '.join(BACKENDS)}"
        )
    module = _import_backend(backend)
    if (missing := module.available()) is not None:
        raise BackendError(f"selective scan backend {backend!r} is not available: {missing}")
    return module


def backend_problem(backend: str) -> str | None:
    """Return why a backend cannot run on this machine and how to get it, or None if it can."""
    return _import_backend(backend).available()


def _import_backend(backend: str) -> ModuleType:
    return import_module(f"eamamba.selective_scan.{backend}")


def _check_inputs(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, order: Tensor
) -> None:
    if u.dim() != 4 or A.dim() != 3:
        raise ValueError(
            "selective_scan: expected u (batch, L, K, D) and A (K, D, N), "
            f"got {tuple(u.shape)} and {tuple(A.shape)}"
        )
    batch, length, heads, channels = u.shape
    states = A.shape[-1]
    expected = {
        "delta": (delta, (batch, length, heads, channels)),
        "A": (A, (heads, channels, states)),
        "B": (B, (batch, length, heads, states)),
        "C": (C, (batch, length, heads, states)),
        "D": (D, (heads, channels)),
        "order": (order, (heads, length)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"selective_scan: {name} has shape {tuple(tensor.shape)}, expected {shape} "
                f"for u {tuple(u.shape)} and N = {states}"
            )
        if tensor.device != u.device:
            raise ValueError(f"selective_scan: {name} is on {tensor.device}, u on {u.device}")
        if (
            name != "order"
            and tensor.dtype != u.dtype
            and not torch.is_autocast_enabled(u.device.type)
        ):
            raise ValueError(f"selective_scan: {name} is {tensor.dtype}, u is {u.dtype}")
    if order.dtype != torch.int32:
        raise ValueError(f"selective_scan: order is {order.dtype}, expected torch.int32")


@torch.library.custom_op("eamamba::selective_scan", mutates_args=())
def _forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    order: Tensor,
    backend: str,
    save_states: bool,
) -> tuple[Tensor, Tensor]:
    return _backend_module(backend, u.device).forward(u, delta, A, B, C, D, order, save_states)


@_forward.register_fake
def _(u, delta, A, B, C, D, order, backend, save_states):  # type: ignore[no-untyped-def]
    batch, length, heads, channels = u.shape
    size = _backend_module(backend, u.device).state_size(
        batch, length, heads, channels, A.shape[-1]
    )
    return u.new_empty(u.shape), u.new_empty(size if save_states else 0)


@torch.library.custom_op("eamamba::selective_scan_backward", mutates_args=())
def _backward(
    grad_y: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    order: Tensor,
    states: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _backend_module(backend, u.device).backward(grad_y, u, delta, A, B, C, D, order, states)


@_backward.register_fake
def _(grad_y, u, delta, A, B, C, D, order, states, backend):  # type: ignore[no-untyped-def]
    return tuple(x.new_empty(x.shape) for x in (u, delta, A, B, C, D))


def _keep_for_backward(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    *tensors, backend, _ = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.backend = backend
    ctx.mark_non_differentiable(output[1])


def _autograd(ctx, grad_y, _grad_states):  # type: ignore[no-untyped-def]
    *tensors, states = ctx.saved_tensors
    grads = torch.ops.eamamba.selective_scan_backward(grad_y, *tensors, states, ctx.backend)
    return (*grads, None, None, None)


_forward.register_autograd(_autograd, setup_context=_keep_for_backward)
for _device in ("cpu", "cuda"):  # under autocast the recurrence stays in float32
    _forward.register_autocast(_device, torch.float32)


@register_flop_formula(torch.ops.eamamba.selective_scan)
def _flops(u_shape, delta_shape, A_shape, *args, **kwargs) -> int:  # type: ignore[no-untyped-def]
    """Count as the paper does, 9 B L D N + B L D, doubled: torch counts a multiply-add as 2."""
    batch, length, heads, channels = u_shape
    return 2 * batch * length * heads * channels * (9 * A_shape[-1] + 1)
