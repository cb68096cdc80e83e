"""Numba kernels of the selective scan for processors.

One task scans one group of channel blocks of one head of one image. It walks the
sequence in chunks of `CHUNK` steps: the pixels of a chunk are fetched through ``order``
into small, padded rows that stay in the first-level cache, the recurrence runs on these,
and the results are put back through ``order``.

A vector of `LANES` numbers holds the state of ``c`` channels (a power of two) for
``LANES // c`` states: lane l belongs to channel l % c, and vector j of a tile to state
(l // c) * J + j, where J is the number of vectors of the tile. A tile has at most
`LANES` states, so that its row of B or C fills one vector; larger N takes several tiles.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import float32, float64, int32, int64, njit, void

from eamamba.selective_scan import _cpu_steps as emit
from eamamba.selective_scan._cpu_simd import LANES

CHUNK = 64
LOG2_E = float(1 / np.log(2))


def layout(channels: int, states: int) -> tuple[int, int, int]:
    """Return c, J and the number of tiles for D channels and N states (module docstring)."""
    c = min(LANES, 1 << (channels - 1).bit_length())
    tiles = -(-states // LANES)
    return c, -(-states // (tiles * (LANES // c))), tiles


@lru_cache
def _emitted_version() -> int:
    """Return a checksum of the modules that emit code; Numba's cache on disk ignores them.

    The kernels take it as a variable of their closure, which is part of the cache's key.
    """
    names = ("_cpu_math.py", "_cpu_simd.py", "_cpu_steps.py")
    return zlib.crc32(b"".join((Path(__file__).parent / name).read_bytes() for name in names))


@njit
def _sizes(u, A, task, groups, c, J):  # type: ignore[no-untyped-def]
    """Return (b, k, group), its range of blocks, and the sizes that the kernels share."""
    b, k, group = task // groups // A.shape[0], task // groups % A.shape[0], task % groups
    blocks, span = -(-A.shape[1] // c), J * (LANES // c)
    tiles = -(-A.shape[2] // span)
    chunks = -(-u.shape[1] // CHUNK)
    width = -(-((tiles - 1) * span + LANES) // LANES) * LANES
    begin, end = group * blocks // groups, (group + 1) * blocks // groups
    # Where the states of (b, k) begin, as a number of chunks; block follows block there.
    saved = (b * A.shape[0] + k) * blocks * chunks
    return b, k, group, begin, end, span, tiles, chunks, width, saved


@njit
def _aligned(count, like):  # type: ignore[no-untyped-def]
    """Return zeros that start at a cache line, so that no vector crosses one."""
    numbers = np.zeros(count + LANES, like.dtype)
    skip = (-numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[skip : skip + count]


@njit
def _rates(A, k, begin, end, c, J, tiles):  # type: ignore[no-untyped-def]
    """Return A[k] / ln 2 of some channel blocks, in the order of the vectors."""
    size = tiles * J * LANES
    rates = _aligned((end - begin) * size, A)
    for i in range(rates.size):
        channel, n = _member(i, size, begin, c, J)
        if channel < A.shape[1] and n < A.shape[2]:
            rates[i] = A[k, channel, n] * LOG2_E
    return rates


@njit
def _store_sums(grad_A, grad_D, b, k, rate_sums, skip_sums, begin, c, J, tiles):  # type: ignore[no-untyped-def]
    """Write the gradients of A and D that were added up in the order of the vectors."""
    for i in range(rate_sums.size):
        channel, n = _member(i, tiles * J * LANES, begin, c, J)
        if channel < grad_A.shape[2] and n < grad_A.shape[3]:
            grad_A[b, k, channel, n] = rate_sums[i]
    for i in range(skip_sums.size):
        channel = (begin + i // LANES) * c + i % LANES
        if i % LANES < c and channel < grad_A.shape[2]:
            grad_D[b, k, channel] = skip_sums[i]


@njit
def _member(i, size, begin, c, J):  # type: ignore[no-untyped-def]
    """Return the channel and the state that place ``i`` of some blocks belongs to."""
    block, tile, j, lane = i // size, i % size // (J * LANES), i // LANES % J, i % LANES
    return (begin + block) * c + lane % c, (tile * (LANES // c) + lane // c) * J + j


@lru_cache
def forward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the forward pass for a layout of channels and states."""
    version = _emitted_version()

    def forward(task, groups, u, delta, A, B, C, D, order, y, states):  # type: ignore[no-untyped-def]
        assert version >= 0
        b, k, _, begin, end, span, tiles, chunks, width, saved = _sizes(u, A, task, groups, c, J)
        rates = _rates(A, k, begin, end, c, J, tiles)
        h = _aligned(rates.size, u)
        x_rows, step_rows = _aligned(CHUNK * c, u), _aligned(CHUNK * c, u)
        y_rows = _aligned(CHUNK * c, u)
        B_rows, C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        for chunk in range(chunks):
            start = chunk * CHUNK
            steps = min(CHUNK, u.shape[1] - start)
            now, next_ = (order, start), (order, min(start + CHUNK, u.shape[1] - steps))
            for n in range(0, A.shape[2], LANES):
                emit.gather(LANES, B_rows, n, width, B, (b, k, n), now, steps)
                emit.gather(LANES, C_rows, n, width, C, (b, k, n), now, steps)
            for block in range(begin, end):
                where = (b, k, block * c)
                emit.gather(c, x_rows, 0, c, u, where, now, steps)
                emit.gather(c, step_rows, 0, c, delta, where, now, steps)
                emit.activate(c, step_rows, x_rows, y_rows, D, where, -(-steps * c // LANES))
                first = (block - begin) * tiles * J
                if states.size > 0:
                    place = (saved + block * chunks + chunk) * tiles * J
                    emit.copy(states, place * LANES, h, first * LANES, tiles * J)
                for tile in range(tiles):
                    emit.advance(
                        c,
                        J,
                        h,
                        rates,
                        (first + tile * J) * LANES,
                        (step_rows, x_rows, B_rows, C_rows, y_rows),
                        tile * span,
                        width,
                        steps,
                        (u, delta, y),
                        (B, C),
                        where,
                        next_,
                    )
                emit.scatter(c, y_rows, 0, c, y, where, now, steps)

    real = float64 if double else float32
    image, of_D = real[:, :, :, :], real[:, :]
    return njit(
        void(
            int64,
            int64,
            image,
            image,
            real[:, :, :],
            image,
            image,
            of_D,
            int32[:, ::1],
            image,
            real[::1],
        ),
        nogil=True,
        cache=True,
    )(forward)


@lru_cache
def backward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the backward pass for a layout of channels and states."""
    version = _emitted_version()

    def backward(  # type: ignore[no-untyped-def]
        task,
        groups,
        grad_y,
        u,
        delta,
        A,
        B,
        C,
        D,
        order,
        states,
        grad_u,
        grad_delta,
        grad_A,
        grad_B,
        grad_C,
        grad_D,
    ):
        assert version >= 0
        b, k, group, begin, end, span, tiles, chunks, width, saved = _sizes(
            u, A, task, groups, c, J
        )
        rates = _rates(A, k, begin, end, c, J, tiles)
        adjoint, rate_sums = _aligned(rates.size, u), _aligned(rates.size, u)
        skip_sums = _aligned((end - begin) * LANES, u)
        u_rows, x_rows = _aligned(CHUNK * c, u), _aligned(CHUNK * c, u)
        step_rows, slope_rows = _aligned(CHUNK * c, u), _aligned(CHUNK * c, u)
        grad_y_rows, grad_x_rows = _aligned(CHUNK * c, u), _aligned(CHUNK * c, u)
        grad_step_rows = _aligned(CHUNK * c, u)
        B_rows, C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        grad_B_rows, grad_C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        decays = _aligned(CHUNK * J * LANES, u)
        history = _aligned((CHUNK + 1) * J * LANES, u)
        part = group * u.shape[0] + b
        for chunk in range(chunks - 1, -1, -1):
            start = chunk * CHUNK
            steps = min(CHUNK, u.shape[1] - start)
            now, next_ = (order, start), (order, max(start - CHUNK, 0))
            for n in range(0, A.shape[2], LANES):
                emit.gather(LANES, B_rows, n, width, B, (b, k, n), now, steps)
                emit.gather(LANES, C_rows, n, width, C, (b, k, n), now, steps)
            emit.clear(grad_B_rows, grad_B_rows.size // LANES)
            emit.clear(grad_C_rows, grad_C_rows.size // LANES)
            for block in range(begin, end):
                where = (b, k, block * c)
                vectors = -(-steps * c // LANES)
                emit.gather(c, u_rows, 0, c, u, where, now, steps)
                emit.gather(c, step_rows, 0, c, delta, where, now, steps)
                emit.gather(c, grad_y_rows, 0, c, grad_y, where, now, steps)
                emit.activate_twice(step_rows, u_rows, slope_rows, x_rows, vectors)
                emit.clear(grad_x_rows, vectors)
                emit.clear(grad_step_rows, vectors)
                for tile in range(tiles):
                    first = ((block - begin) * tiles + tile) * J * LANES
                    place = ((saved + block * chunks + chunk) * tiles + tile) * J * LANES
                    emit.retrace(
                        c,
                        J,
                        states,
                        place,
                        rates,
                        first,
                        (step_rows, x_rows, B_rows),
                        tile * span,
                        width,
                        steps,
                        decays,
                        history,
                    )
                    emit.reverse(
                        c,
                        J,
                        adjoint,
                        rates,
                        rate_sums,
                        first,
                        (step_rows, x_rows, B_rows, C_rows, grad_y_rows),
                        (grad_B_rows, grad_C_rows, grad_x_rows, grad_step_rows),
                        tile * span,
                        width,
                        steps,
                        decays,
                        history,
                        (u, delta, grad_y),
                        (B, C),
                        where,
                        next_,
                    )
                emit.finish(
                    c,
                    (step_rows, u_rows, slope_rows, grad_y_rows),
                    grad_x_rows,
                    grad_step_rows,
                    D,
                    skip_sums,
                    (block - begin) * LANES,
                    where,
                    steps,
                    vectors,
                )
                emit.scatter(c, grad_x_rows, 0, c, grad_u, where, now, steps)
                emit.scatter(c, grad_step_rows, 0, c, grad_delta, where, now, steps)
            for n in range(0, A.shape[2], LANES):
                emit.scatter(LANES, grad_B_rows, n, width, grad_B, (part, k, n), now, steps)
                emit.scatter(LANES, grad_C_rows, n, width, grad_C, (part, k, n), now, steps)
        _store_sums(grad_A, grad_D, b, k, rate_sums, skip_sums, begin, c, J, tiles)

    real = float64 if double else float32
    image, of_D = real[:, :, :, :], real[:, :]
    return njit(
        void(
            int64,
            int64,
            image,
            image,
            image,
            real[:, :, :],
            image,
            image,
            of_D,
            int32[:, ::1],
            real[::1],
            image,
            image,
            image,
            image,
            image,
            real[:, :, :],
        ),
        nogil=True,
        cache=True,
    )(backward)
