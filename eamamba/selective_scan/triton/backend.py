"""The selective scan on CUDA with Triton: in chunks, reading through ``order``.

Also runs on the CPU, slowly, if Triton was imported with ``TRITON_INTERPRET=1``.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eamamba.selective_scan.operator import BackendError


class Tile(NamedTuple):
    """How one pass divides its work."""

    steps: int  # at a time in the registers of a program; a power of two
    warps: int  # of a program
    programs: int  # wanted per multiprocessor; sets the number of chunks


class Config(NamedTuple):
    """The tiles of both passes, and how often a state is kept for the backward pass."""

    forward: Tile
    backward: Tile
    kept: int  # every so many steps; a power of two from backward.steps up to GRAIN


# Maximum channels of a head -> settings; measured on an H100 (benchmarks/scan_gpu.py --sweep).
CONFIGS: dict[int, Config] = {
    8: Config(Tile(4, 1, 64), Tile(4, 1, 32), kept=4),
    16: Config(Tile(4, 1, 64), Tile(4, 1, 32), kept=4),
    32: Config(Tile(8, 4, 16), Tile(4, 2, 32), kept=4),
    64: Config(Tile(8, 4, 16), Tile(4, 4, 8), kept=4),
}
CELLS = 1024  # channels times states of a program: as many as its registers can hold
GRAIN = (
    16  # chunks are multiples of this many steps, so that kept states coincide with chunk starts
)
SHORTEST_CHUNK = 32  # steps; shorter ones move more states than inputs
COMBINED_AT_ONCE = 64  # chunks
COMBINING_WARPS = 4


def available() -> str | None:
    """Return None if the kernels can run here, otherwise what they need."""
    if find_spec("triton") is None:
        return "install Triton (pip install triton)"
    if not torch.cuda.is_available() and not _interpreted():
        return "it needs a CUDA device (or TRITON_INTERPRET=1 to try it slowly on the CPU)"
    return None


def state_size(batch: int, length: int, heads: int, channels: int, states: int) -> int:
    """Return the size of the states kept for the backward pass."""
    kept = _config(channels).kept
    return batch * heads * -(-length // kept) * channels * states


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
    """Return y and, if requested, the states that the backward pass starts from.

    Shapes as in `eamamba.selective_scan.selective_scan`; float32 only.

    Raises
    ------
    BackendError
        If the tensors are not float32.
    """
    _check_float32(u, delta, A, B, C, D)
    from eamamba.selective_scan.triton import kernels

    u, delta, B, C = (_unit_last(x) for x in (u, delta, B, C))
    A, D, order = A.contiguous(), D.contiguous(), order.contiguous()
    batch, length, heads, channels = u.shape
    config = _config(channels)
    steps = min(config.forward.steps, config.kept) if save_states else config.forward.steps
    work = _Work(u, A, config.forward._replace(steps=steps), (u, delta, B, C))
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    size = state_size(batch, length, heads, channels, A.shape[-1]) if save_states else 0
    states = u.new_empty(size)
    with _on(u.device):
        start_states = _first_states(work, u, delta, B, A, order, reverse=False)
        _launch(
            kernels.forward_chunks, work.grid, work.warps,
            *work.strided(u), *work.strided(delta), *work.strided(B), *work.strided(C),
            A, D, order, start_states, y, states, length, work.chunk, heads,
            **work.options, SAVE=config.kept if save_states else 0,
        )  # fmt: skip
    return y, states


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
    _check_float32(grad_y, u, delta, A, B, C, D)
    from eamamba.selective_scan.triton import kernels

    u, delta, B, C = (_unit_last(x) for x in (u, delta, B, C))
    A, D, order, grad_y = (x.contiguous() for x in (A, D, order, grad_y))
    batch, length, heads, channels = u.shape
    config = _config(channels)
    work = _Work(u, A, config.backward, (grad_y, u, delta, B, C))
    grad_u, grad_delta = (torch.empty_like(grad_y) for _ in range(2))
    grad_B, grad_C = (u.new_empty(work.blocks, *B.shape) for _ in range(2))
    grad_A = u.new_empty(batch, heads, work.chunks, *A.shape[1:])
    grad_D = u.new_empty(batch, heads, work.chunks, channels)
    with _on(u.device):
        messages = _first_states(work, grad_y, delta, C, A, order, reverse=True)
        _launch(
            kernels.backward_chunks, work.grid, work.warps,
            *work.strided(u), *work.strided(delta), *work.strided(B), *work.strided(C),
            A, D, order, messages, states, grad_y,
            grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D,
            length, work.chunk, heads, batch, **work.options, SAVE=config.kept,
        )  # fmt: skip
    if work.blocks > 1:
        grad_B, grad_C = grad_B.sum(0, keepdim=True), grad_C.sum(0, keepdim=True)
    return grad_u, grad_delta, grad_A.sum((0, 2)), grad_B[0], grad_C[0], grad_D.sum((0, 2))


class _Work:
    """The division of one pass into programs, and the arguments about it for all kernels."""

    def __init__(self, u: Tensor, A: Tensor, tile: Tile, strided: tuple[Tensor, ...]) -> None:
        self.batch, self.length, self.heads, channels = u.shape
        states = _power_of_2(A.shape[-1])
        block = min(_power_of_2(channels), max(1, CELLS // states))
        if u.is_cuda:  # with fewer than 4 cells per thread, steps would be split across threads
            block = max(block, 128 // states)
        self.blocks = -(-channels // block)
        rows = self.batch * self.heads * self.blocks
        wanted = max(1, _multiprocessors(u.device) * tile.programs // rows)
        longest = max(SHORTEST_CHUNK, -(-self.length // wanted))
        self.chunk = -(-longest // GRAIN) * GRAIN
        self.chunks = -(-self.length // self.chunk)
        self.grid = (self.chunks, self.heads * self.blocks, self.batch)
        strides = [s for x in strided for s in x.stride()[:-1]]
        self.unit = 4 if all(s % 4 == 0 for s in strides) else 1
        self.options = {
            "D": channels,
            "N": A.shape[-1],
            "BLOCK_D": block,
            "BLOCK_N": states,
            "T": tile.steps,
            "UNIT": self.unit,
        }
        self.warps = max(1, min(tile.warps, block * states // 128))

    def strided(self, x: Tensor) -> tuple[Tensor, int, int, int]:
        """Return x and its batch, row and head strides in units of ``unit``."""
        batch, row, head, _ = x.stride()
        return x, batch // self.unit, row // self.unit, head // self.unit


def _first_states(
    work: _Work,
    u_or_grad_y: Tensor,
    delta: Tensor,
    B_or_C: Tensor,
    A: Tensor,
    order: Tensor,
    reverse: bool,
) -> Tensor:
    """Return the state before each chunk (batch, K, chunks, D, N); reverse: the message into it."""
    from eamamba.selective_scan.triton import kernels

    shape = (work.batch, work.heads, work.chunks, *A.shape[1:])
    if work.chunks == 1:
        return delta.new_zeros(shape)
    end_states, start_states = delta.new_empty(shape), delta.new_empty(shape)
    Delta_sums = delta.new_empty(shape[:-1])
    _launch(
        kernels.chunk_ends, (work.chunks - 1, *work.grid[1:]), work.warps,
        *work.strided(u_or_grad_y), *work.strided(delta), *work.strided(B_or_C),
        A, order, end_states, Delta_sums,
        work.length, work.chunk, work.heads, **work.options, REVERSE=reverse,
    )  # fmt: skip
    _launch(
        kernels.combine_chunks, (work.batch * work.heads, A.shape[1], 1), COMBINING_WARPS,
        A, end_states, Delta_sums, start_states, work.chunks, work.heads,
        D=A.shape[1], N=A.shape[2], BLOCK_N=work.options["BLOCK_N"],
        T=COMBINED_AT_ONCE, REVERSE=reverse,
    )  # fmt: skip
    return start_states


# Compiled kernels by everything that their code depends on.
_compiled: dict[tuple[object, ...], Any] = {}


def _launch(
    kernel: Any, grid: tuple[int, int, int], warps: int, *arguments: Any, **constants: int
) -> None:
    """Launch a kernel on ``grid``, if possible without Triton's slow inspection of every argument.

    ``arguments`` are all except the compile-time constants, which follow them in the kernel's
    signature. The compiled code depends on constants, warps, device, which pointers are aligned,
    and which numbers need 64 bits (such launches take the slow path).
    """
    tensors = [x for x in arguments if isinstance(x, Tensor)]
    aligned = [x.data_ptr() % 16 == 0 for x in tensors]
    key = (kernel.fn.__name__, tensors[0].device, warps, *constants.values(), *aligned)
    compiled = _compiled.get(key)
    wide = any(isinstance(x, int) and x >= 2**31 for x in arguments)
    if compiled is None or wide:
        compiled = kernel[grid](*arguments, **constants, num_warps=warps)
        if not wide:
            _compiled[key] = compiled
    else:
        names = kernel.arg_names[len(arguments) :]
        compiled[grid](*arguments, *(constants[name] for name in names))


def _config(channels: int) -> Config:
    return CONFIGS[next((size for size in CONFIGS if channels <= size), max(CONFIGS))]


def _power_of_2(x: int) -> int:
    """Return x, rounded up to a power of two."""
    return 1 << (x - 1).bit_length()


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache
def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _on(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _unit_last(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def _check_float32(*tensors: Tensor) -> None:
    wrong = [x.dtype for x in tensors if x.dtype != torch.float32]
    if wrong:
        raise BackendError(
            f"selective scan backend 'triton' got {wrong[0]}, expected torch.float32; "
            "convert the inputs or choose backend='reference'"
        )
