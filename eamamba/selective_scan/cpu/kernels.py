# mypy: disable-error-code="arg-type, no-untyped-def, operator"
# Numba builds the named tuples from arrays and integers; mypy sees the types in emitted code.
"""Numba kernels of the selective scan on the CPU.

One task scans one group of channel blocks of one head of one image. It walks the sequence in chunks
of `CHUNK` steps: the pixels of a chunk are fetched through ``order`` into small, padded rows that
stay in the L1 cache, the recurrence runs on these, and the results are written back through
``order``.

A vector of `LANES` numbers holds the state of c channels (a power of two) for LANES / c
states: lane l belongs to channel l % c, and vector j of a tile to state (l // c) J + j.
A tile has at most `LANES` states, so that its row of B or C fills one vector; larger N
takes several tiles.

================  ================================  =====================================
symbol            shape                             meaning
================  ================================  =====================================
b, k              ()                                batch element, head
L, K              ()                                pixels of an image, heads
D, N              ()                                channels and states of a head
c, J              ()                                channels of a vector, vectors of a tile
tiles             ()                                tiles of the N states
blocks            ()                                blocks of c channels, ⌈D / c⌉
groups            ()                                tasks per head, which share its blocks
width             ()                                tiles LANES, length of a row of B or C
u, delta          (batch, L, K, D)                  input, step size before the softplus
A                 (K, D, N)                         decay rates
B, C              (batch, L, K, N)                  projections of every pixel
D (an array)      (K, D)                            skip weights
order             (K, L), int32                     pixel that head k visits at step t
y, grad_y         (batch, L, K, D)                  output and its gradient
Δ, Δu             (CHUNK, c)                        softplus(delta) and Δ u of a chunk
A_log2            (blocks, tiles, J, LANES)         A / ln 2: exp(Δ A) = 2^(Δ A_log2)
h                 (blocks, tiles, J, LANES)         state after the last step that was run
states            (batch, K, blocks, chunks,        states before each chunk, kept for the
                  tiles, J, LANES)                  backward pass
================  ================================  =====================================

The blocks of ``A_log2`` and ``h`` are those of the task; both are flat in memory.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

from eamamba.config.errors import ran_out_of_memory
from eamamba.selective_scan.cpu import steps
from eamamba.selective_scan.cpu.simd import LANES
from eamamba.selective_scan.cpu.steps import (
    BackwardRows,
    ForwardRows,
    GradientRows,
    History,
    Position,
    SavedState,
    Tile,
    Upcoming,
    Visits,
)

CHUNK = 64
LOG2_E = float(1 / np.log(2))
Array = np.ndarray


class Layout(NamedTuple):
    """How the states of a head are arranged in vectors."""

    c: int
    J: int
    tiles: int


class Share(NamedTuple):
    """What one task scans: some channel blocks of head k of batch element b."""

    b: int
    k: int
    group: int
    begin: int  # its first block
    end: int  # the block after its last
    tiles: int
    chunks: int
    saved: int  # where the saved states of (b, k) begin, in chunks; blocks are contiguous


def layout(channels: int, states: int) -> Layout:
    """Return the layout for D channels and N states (module docstring)."""
    c = min(LANES, 1 << (channels - 1).bit_length())
    tiles = -(-states // LANES)
    return Layout(c, -(-states // (tiles * (LANES // c))), tiles)


def _compiled(signature: Any, function: Callable[..., None]) -> Any:
    """Compile a kernel or load it from Numba's cache; without a usable cache, always compile it."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except Exception as error:  # no writable folder, a full disk, a damaged file …
        if ran_out_of_memory(error):
            raise
        compiled = njit(signature, nogil=True)(function)  # fails too unless the cache was at fault
        _warn_once()
        return compiled


@lru_cache
def _warn_once() -> None:
    warnings.warn(
        "Numba's cache is damaged or cannot be written, so kernels are compiled at every start; "
        "set the variable NUMBA_CACHE_DIR to a new folder",
        stacklevel=2,
    )


@lru_cache
def _emitted_version() -> int:
    """Return a checksum of the modules that emit code; Numba's cache on disk ignores them.

    It is a variable in the kernels' closure, which is part of the cache's key.
    """
    names = ("simd.py", "steps.py")
    return zlib.crc32(b"".join((Path(__file__).parent / name).read_bytes() for name in names))


@njit
def _share(task: int, groups: int, u: Array, A: Array, c: int, J: int) -> Share:
    """Return the share of a task."""
    b, k, group = task // groups // A.shape[0], task // groups % A.shape[0], task % groups
    blocks = -(-A.shape[1] // c)
    chunks = -(-u.shape[1] // CHUNK)
    return Share(
        b=b,
        k=k,
        group=group,
        begin=group * blocks // groups,
        end=(group + 1) * blocks // groups,
        tiles=-(-A.shape[2] // (J * (LANES // c))),
        chunks=chunks,
        saved=(b * A.shape[0] + k) * blocks * chunks,
    )


@njit
def _aligned(count: int, like: Array) -> Array:
    """Return zeros that start at a cache line, so that no vector crosses one."""
    numbers = np.zeros(count + LANES, like.dtype)
    skip = (-numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[skip : skip + count]


@njit
def _forward_rows(c: int, width: int, like: Array) -> ForwardRows:
    """Return the rows of one chunk."""
    return ForwardRows(
        Δ=_aligned(CHUNK * c, like),
        Δu=_aligned(CHUNK * c, like),
        B=_aligned(CHUNK * width, like),
        C=_aligned(CHUNK * width, like),
        y=_aligned(CHUNK * c, like),
    )


@njit
def _channel_and_state(i: int, block_size: int, begin: int, c: int, J: int) -> tuple[int, int]:
    """Return the channel and the state of number i of an array like ``h``."""
    block, tile = i // block_size, i % block_size // (J * LANES)
    j, lane = i // LANES % J, i % LANES
    return (begin + block) * c + lane % c, (tile * (LANES // c) + lane // c) * J + j


@njit
def _scaled_rates(A: Array, share: Share, c: int, J: int) -> Array:
    """Return A_log2 of the channel blocks of a task."""
    block_size = share.tiles * J * LANES
    A_log2 = _aligned((share.end - share.begin) * block_size, A)
    for i in range(A_log2.size):
        channel, n = _channel_and_state(i, block_size, share.begin, c, J)
        if channel < A.shape[1] and n < A.shape[2]:
            A_log2[i] = A[share.k, channel, n] * LOG2_E
    return A_log2


@njit
def _store_sums(
    grad_A: Array, A_sums: Array, grad_D: Array, D_sums: Array, share: Share, c: int, J: int
) -> None:
    """Write the gradients of A and D, which were summed in the order of the vectors."""
    b, k, begin = share.b, share.k, share.begin
    for i in range(A_sums.size):
        channel, n = _channel_and_state(i, share.tiles * J * LANES, begin, c, J)
        if channel < grad_A.shape[2] and n < grad_A.shape[3]:
            grad_A[b, k, channel, n] = A_sums[i]
    for i in range(D_sums.size):
        channel = (begin + i // LANES) * c + i % LANES
        if i % LANES < c and channel < grad_D.shape[2]:
            grad_D[b, k, channel] = D_sums[i]


@njit
def _visits(order: Array, chunk: int, direction: int) -> tuple[Visits, Visits]:
    """Return the visits of a chunk, and as many of the chunk that is scanned next."""
    L, start = order.shape[1], chunk * CHUNK
    count = min(CHUNK, L - start)
    next_start = max(0, min(start + direction * CHUNK, L - count))
    return Visits(order, start, count), Visits(order, next_start, count)


@njit
def _gather_states(targets, images, b, k, visits, tiles):
    """Gather rows of B and C, of any length."""
    for i in range(tiles):
        position = Position(b, k, i * LANES)
        steps.gather(LANES, targets, i * LANES, tiles * LANES, images, position, visits)


@njit
def _scatter_states(sources, images, b, k, visits, tiles):
    """Scatter rows of the gradients of B and C."""
    for i in range(tiles):
        position = Position(b, k, i * LANES)
        steps.scatter(LANES, sources, i * LANES, tiles * LANES, images, position, visits)


@lru_cache
def forward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the forward pass for a layout of channels and states.

    Called as ``kernel(task, groups, inputs, order, y, states)`` with 0 <= task < batch K groups and
    inputs = (u, delta, A, B, C, D), it fills its share of y and, unless empty, of states.
    """
    version = _emitted_version()

    def forward(task, groups, inputs, order, y, states):
        assert version >= 0
        u, delta, A, B, C, D = inputs
        share = _share(task, groups, u, A, c, J)
        b, k, tiles = share.b, share.k, share.tiles
        width, tile_size, block_size = tiles * LANES, J * LANES, tiles * J * LANES
        A_log2 = _scaled_rates(A, share, c, J)
        h = _aligned(A_log2.size, u)
        chunk_rows = _forward_rows(c, width, u)
        for chunk in range(share.chunks):
            visits, next_visits = _visits(order, chunk, 1)
            _gather_states((chunk_rows.B, chunk_rows.C), (B, C), b, k, visits, tiles)
            for block in range(share.begin, share.end):
                position = Position(b, k, block * c)
                steps.gather(c, (chunk_rows.Δ, chunk_rows.Δu), 0, c, (delta, u), position, visits)
                steps.activate(c, chunk_rows, D, position, -(-visits.steps * c // LANES))
                first = (block - share.begin) * block_size
                if states.size > 0:
                    saved = (share.saved + block * share.chunks + chunk) * block_size
                    steps.copy(states, saved, h, first, tiles * J)
                upcoming = Upcoming((u, delta, y), position, (B, C), position, next_visits)
                for i in range(tiles):
                    tile = Tile(
                        first=first + i * tile_size,
                        column=i * J * (LANES // c),
                        width=width,
                        steps=visits.steps,
                    )
                    steps.scan_tile(c, J, h, A_log2, chunk_rows, tile, upcoming)
                steps.scatter(c, (chunk_rows.y,), 0, c, (y,), position, visits)

    t = _array_types(double)
    signature = void(
        int64,  # task
        int64,  # groups
        t.inputs,
        t.order,
        t.image,  # y
        t.flat,  # states
    )
    return _compiled(signature, forward)


@lru_cache
def backward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the backward pass for a layout of channels and states.

    Called as ``kernel(task, groups, grad_y, inputs, order, states, gradients)`` with the
    states that the forward pass saved, it fills its share of the gradients of u, delta, A,
    B, C, D. Those of A and D have the batch as their first axis; those of B and C have
    groups × batch. The caller adds up these parts.
    """
    version = _emitted_version()

    def backward(task, groups, grad_y, inputs, order, states, gradients):
        assert version >= 0
        u, delta, A, B, C, D = inputs
        grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D = gradients
        share = _share(task, groups, u, A, c, J)
        b, k, tiles = share.b, share.k, share.tiles
        width, tile_size, block_size = tiles * LANES, J * LANES, tiles * J * LANES
        part = share.group * u.shape[0] + b  # of the gradients of B and C
        A_log2 = _scaled_rates(A, share, c, J)
        grad_h, A_sums = _aligned(A_log2.size, A), _aligned(A_log2.size, A)
        D_sums = _aligned((share.end - share.begin) * LANES, A)
        history = History(
            decays=_aligned(CHUNK * tile_size, A),
            states=_aligned((CHUNK + 1) * tile_size, A),
        )
        chunk_rows = BackwardRows(
            Δ=_aligned(CHUNK * c, A),
            Δu=_aligned(CHUNK * c, A),
            u=_aligned(CHUNK * c, A),
            slope=_aligned(CHUNK * c, A),
            B=_aligned(CHUNK * width, A),
            C=_aligned(CHUNK * width, A),
            grad_y=_aligned(CHUNK * c, A),
        )
        grad_rows = GradientRows(
            B=_aligned(CHUNK * width, A),
            C=_aligned(CHUNK * width, A),
            u=_aligned(CHUNK * c, A),
            delta=_aligned(CHUNK * c, A),
        )
        for chunk in range(share.chunks - 1, -1, -1):
            visits, next_visits = _visits(order, chunk, -1)
            vectors = -(-visits.steps * c // LANES)
            _gather_states((chunk_rows.B, chunk_rows.C), (B, C), b, k, visits, tiles)
            steps.clear((grad_rows.B, grad_rows.C), CHUNK * tiles)
            for block in range(share.begin, share.end):
                position = Position(b, k, block * c)
                images = (delta, u, grad_y)
                steps.gather(
                    c,
                    (chunk_rows.Δ, chunk_rows.u, chunk_rows.grad_y),
                    0,
                    c,
                    images,
                    position,
                    visits,
                )
                steps.activate_again(chunk_rows, vectors)
                steps.clear((grad_rows.u, grad_rows.delta), vectors)
                next_inputs = Upcoming(images, position, (B, C), position, next_visits)
                results = Upcoming(
                    channel_images=(grad_u, grad_delta),
                    channel_position=position,
                    state_images=(grad_B, grad_C),
                    state_position=Position(part, k, 0),
                    visits=visits,
                )
                for i in range(tiles):
                    tile = Tile(
                        first=(block - share.begin) * block_size + i * tile_size,
                        column=i * J * (LANES // c),
                        width=width,
                        steps=visits.steps,
                    )
                    start = (share.saved + block * share.chunks + chunk) * block_size
                    start += i * tile_size
                    saved = SavedState(states, start, max(start - block_size, 0))
                    steps.scan_tile_again(c, J, saved, A_log2, chunk_rows, tile, history, results)
                    steps.scan_adjoints(
                        c,
                        J,
                        A_log2,
                        grad_h,
                        A_sums,
                        chunk_rows,
                        grad_rows,
                        tile,
                        history,
                        next_inputs,
                    )
                D_first = (block - share.begin) * LANES
                steps.finish_gradients(
                    c, chunk_rows, grad_rows, D, D_sums, D_first, position, visits.steps, vectors
                )
                channel_gradients = (grad_u, grad_delta)
                steps.scatter(
                    c, (grad_rows.u, grad_rows.delta), 0, c, channel_gradients, position, visits
                )
            state_gradients = (grad_B, grad_C)
            _scatter_states((grad_rows.B, grad_rows.C), state_gradients, part, k, visits, tiles)
        _store_sums(grad_A, A_sums, grad_D, D_sums, share, c, J)

    t = _array_types(double)
    signature = void(
        int64,  # task
        int64,  # groups
        t.image,  # grad_y
        t.inputs,
        t.order,
        t.flat,  # states
        t.gradients,
    )
    return _compiled(signature, backward)


class _ArrayTypes(NamedTuple):
    """Numba's types of the kernels' arguments."""

    image: Any  # four axes, any strides
    flat: Any  # one axis, contiguous
    order: Any  # two axes, contiguous
    inputs: Any  # u, delta, A, B, C, D
    gradients: Any  # of the inputs, with another axis in front for A and D


def _array_types(double: bool) -> _ArrayTypes:
    """Return the types for float32 or float64."""
    real = float64 if double else float32
    image, cube, matrix = real[:, :, :, :], real[:, :, :], real[:, :]
    return _ArrayTypes(
        image=image,
        flat=real[::1],
        order=int32[:, ::1],
        inputs=types.Tuple((image, image, cube, image, image, matrix)),
        gradients=types.Tuple((image, image, image, image, image, cube)),
    )
