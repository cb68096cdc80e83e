"""The selective scan on the CPU: Numba kernels on explicit vectors.

Works on any machine that Numba supports, without a C compiler. Results do not depend
on the number of threads, which is that of PyTorch (`torch.set_num_threads`).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

_pool: ThreadPoolExecutor | None = None


def available() -> str | None:
    """Return None if Numba is installed, otherwise how to get it."""
    return None if find_spec("numba") else "install Numba (pip install numba)"


def state_size(batch: int, length: int, heads: int, channels: int, states: int) -> int:
    """Return the size of the buffer that keeps the state at the start of each chunk."""
    kernels = _kernels()
    c, J, tiles = kernels.layout(channels, states)
    blocks, chunks = -(-channels // c), -(-length // kernels.CHUNK)
    return batch * heads * blocks * chunks * tiles * J * int(kernels.LANES)


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
    """Return ``y`` and the states that the backward pass starts from (or none)."""
    batch, length, heads, channels = u.shape
    y = u.new_empty(u.shape)
    size = state_size(batch, length, heads, channels, A.shape[-1]) if save_states else 0
    states = u.new_empty(size)
    kernels = _kernels()
    c, J, _ = kernels.layout(channels, A.shape[-1])
    kernel = kernels.forward_kernel(c, J, u.dtype == torch.float64)
    groups = _groups(batch * heads, -(-channels // c))
    inputs = tuple(map(_array, (u, delta, A, B, C, D)))
    arrays = map(_array, (order.contiguous(), y, states))
    _run(kernel, batch * heads * groups, groups, inputs, *arrays)
    return y, states


def load_projected(channels: int, states: int, dtype: torch.dtype) -> Callable[..., None]:
    """Return the kernel of `forward_projected`, which is compiled or read from a file once."""
    from eamamba.selective_scan.cpu import projecting  # imports Numba, as does `_kernels`

    c, J, _ = _kernels().layout(channels, states)
    return projecting.projecting_kernel(c, J, dtype == torch.float64)


def forward_projected(
    x: Tensor, weight: Tensor, bias: Tensor, A: Tensor, D: Tensor, order: Tensor
) -> Tensor:
    """Return ``y`` of the scan that starts from ``x`` (`eamamba.selective_scan.projected_scan`)."""
    from eamamba.selective_scan.cpu.projecting import packed

    y = x.new_empty(x.shape)
    batch, _, heads, channels = x.shape
    states = A.shape[-1]
    kernel = load_projected(channels, states, x.dtype)
    # No group adds to another's results, but each projects to B and C: as few as keep threads busy.
    scans, blocks = batch * heads, -(-channels // _kernels().layout(channels, states).c)
    groups = min(blocks, -(-torch.get_num_threads() // max(scans, 1)))
    arrays = map(_array, (x, packed(weight, bias, states), A, D, order.contiguous(), y))
    _run(kernel, scans * groups, groups, *arrays)
    return y


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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of u, delta, A, B, C, D."""
    batch, _, heads, channels = u.shape
    kernels = _kernels()
    c, J, _ = kernels.layout(channels, A.shape[-1])
    kernel = kernels.backward_kernel(c, J, u.dtype == torch.float64)
    groups = _groups(batch * heads, -(-channels // c))
    grad_u, grad_delta = u.new_empty(u.shape), u.new_empty(u.shape)
    grad_A, grad_D = A.new_empty(batch, *A.shape), D.new_empty(batch, *D.shape)
    grad_B, grad_C = (x.new_empty(groups * batch, *x.shape[1:]) for x in (B, C))
    inputs = tuple(map(_array, (u, delta, A, B, C, D)))
    gradients = tuple(map(_array, (grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D)))
    arrays = map(_array, (order.contiguous(), states))
    _run(kernel, batch * heads * groups, groups, _array(grad_y), inputs, *arrays, gradients)
    grad_B, grad_C = (_sum(x.view(groups, *B.shape)) for x in (grad_B, grad_C))
    return grad_u, grad_delta, _sum(grad_A), grad_B, grad_C, _sum(grad_D)


def _kernels() -> ModuleType:
    # Imported here because Numba takes half a second to import.
    from eamamba.selective_scan.cpu import kernels

    return kernels


def _array(x: Tensor) -> np.ndarray:
    x = x.detach()
    return (x if x.shape[-1] == 1 or x.stride(-1) == 1 else x.contiguous()).numpy()


def _groups(scans: int, blocks: int) -> int:
    """Return the number of tasks that the channel blocks of one head are divided into.

    Enough for 16 tasks in total; each group costs a copy of the gradients of B and C. It must not
    depend on the number of threads, which would change the order of summation.
    """
    return min(blocks, -(-16 // max(scans, 1)))


def _sum(parts: Tensor) -> Tensor:
    """Add up the parts one by one, in an order that does not depend on the threads."""
    if not len(parts):
        return parts.new_zeros(parts.shape[1:])
    total, *others = parts.unbind()
    for part in others:
        total += part
    return total


def _run(kernel: Callable[..., None], tasks: int, *arguments: object) -> None:
    """Run ``kernel(task, ...)`` for all tasks on as many threads as PyTorch uses.

    Each thread takes the next task when it is free. These are our own threads rather than a Numba
    threading layer: calls from several Python threads are safe with any OpenMP, and idle threads
    sleep instead of spinning beside PyTorch's.
    """
    following = itertools.count()

    def work() -> None:
        while (task := next(following)) < tasks:
            kernel(task, *arguments)

    helpers = [_threads().submit(work) for _ in range(min(torch.get_num_threads(), tasks) - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # a cancelled one had not started and has nothing left to do
            helper.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="selective_scan")
    return _pool


def _forget_threads() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # threads do not survive in a forked process
    os.register_at_fork(after_in_child=_forget_threads)
