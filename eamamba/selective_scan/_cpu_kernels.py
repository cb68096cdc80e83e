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
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import float32, float64, int32, int64, njit, void
from numba.core.types import Tuple, UniTuple

from eamamba.selective_scan import _cpu_rows as move
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
    names = ("_cpu_math.py", "_cpu_rows.py", "_cpu_simd.py", "_cpu_steps.py")
    return zlib.crc32(b"".join((Path(__file__).parent / name).read_bytes() for name in names))


@njit
def _sizes(u, A, task, groups, c, J):  # type: ignore[no-untyped-def]
    """Return (b, k, group), its range of blocks, and the sizes that the kernels share."""
    b, k, group = task // groups // A.shape[0], task // groups % A.shape[0], task % groups
    blocks, span = -(-A.shape[1] // c), J * (LANES // c)
    tiles = -(-A.shape[2] // span)
    chunks = -(-u.shape[1] // CHUNK)
    begin, end = group * blocks // groups, (group + 1) * blocks // groups
    # Where the states of (b, k) begin, as a number of chunks; block follows block there.
    saved = (b * A.shape[0] + k) * blocks * chunks
    return b, k, group, begin, end, span, tiles, chunks, saved


@njit
def _aligned(count, like):  # type: ignore[no-untyped-def]
    """Return zeros that start at a cache line, so that no vector crosses one."""
    numbers = np.zeros(count + LANES, like.dtype)
    skip = (-numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[skip : skip + count]


@njit
def _rows(count, like):  # type: ignore[no-untyped-def]
    """Return seven arrays, the most that a pass needs of one size."""
    a, b, c = _aligned(count, like), _aligned(count, like), _aligned(count, like)
    d, e = _aligned(count, like), _aligned(count, like)
    f, g = _aligned(count, like), _aligned(count, like)
    return a, b, c, d, e, f, g


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
def _store_sums(sums, b, k, rate_sums, skip_sums, begin, c, J, tiles):  # type: ignore[no-untyped-def]
    """Write the gradients of A and D that were added up in the order of the vectors."""
    grad_A, grad_D = sums
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


@njit
def _fetch(rows, width, images, b, k, visits, steps):  # type: ignore[no-untyped-def]
    """Gather the rows of B and C, of any length."""
    for n in range(0, width, LANES):
        move.gather(LANES, (rows[0], n, width), images[0], (b, k, n), visits, steps)
        move.gather(LANES, (rows[1], n, width), images[1], (b, k, n), visits, steps)


@njit
def _put(rows, width, images, b, k, visits, steps):  # type: ignore[no-untyped-def]
    """Scatter the rows of the gradients of B and C."""
    for n in range(0, width, LANES):
        move.scatter(LANES, (rows[0], n, width), images[0], (b, k, n), visits, steps)
        move.scatter(LANES, (rows[1], n, width), images[1], (b, k, n), visits, steps)


@lru_cache
def forward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the forward pass for a layout of channels and states."""
    version = _emitted_version()

    def forward(task, groups, u, delta, A, B, C, D, order, y, states):  # type: ignore[no-untyped-def]
        assert version >= 0
        b, k, _, begin, end, span, tiles, chunks, saved = _sizes(u, A, task, groups, c, J)
        width = tiles * LANES
        rates = _rates(A, k, begin, end, c, J, tiles)
        h = _aligned(rates.size, u)
        step_rows, x_rows, y_rows = _rows(CHUNK * c, u)[:3]
        B_rows, C_rows = _rows(CHUNK * width, u)[:2]
        rows = (step_rows, x_rows, B_rows, C_rows, y_rows)
        for chunk in range(chunks):
            start = chunk * CHUNK
            steps = min(CHUNK, u.shape[1] - start)
            now, following = (order, start), (order, min(start + CHUNK, u.shape[1] - steps))
            _fetch((B_rows, C_rows), width, (B, C), b, k, now, steps)
            for block in range(begin, end):
                where = (b, k, block * c)
                move.gather(c, (x_rows, 0, c), u, where, now, steps)
                move.gather(c, (step_rows, 0, c), delta, where, now, steps)
                emit.activate(c, (step_rows, x_rows, y_rows), D, where, -(-steps * c // LANES))
                first = (block - begin) * tiles * J * LANES
                if states.size > 0:
                    place = (saved + block * chunks + chunk) * tiles * J * LANES
                    move.copy(states, place, h, first, tiles * J)
                soon = ((u, delta, y), where, (B, C), where, following)
                for i in range(tiles):
                    tile = (first + i * J * LANES, i * span, width, steps)
                    emit.advance(c, J, h, rates, rows, tile, soon)
                move.scatter(c, (y_rows, 0, c), y, where, now, steps)

    return _compile(forward, double, "ii443442o41")


@lru_cache
def backward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the backward pass for a layout of channels and states."""
    version = _emitted_version()

    def backward(  # type: ignore[no-untyped-def]
        task, groups, grad_y, u, delta, A, B, C, D, order, states, grads, sums
    ):
        assert version >= 0
        b, k, group, begin, end, span, tiles, chunks, saved = _sizes(u, A, task, groups, c, J)
        width = tiles * LANES
        part = group * u.shape[0] + b
        rates = _rates(A, k, begin, end, c, J, tiles)
        adjoint, rate_sums = _aligned(rates.size, u), _aligned(rates.size, u)
        skip_sums = _aligned((end - begin) * LANES, u)
        images = _rows(CHUNK * c, u)
        step_rows, x_rows, u_rows, slope_rows, g_rows = images[:5]
        B_rows, C_rows, grad_B_rows, grad_C_rows = _rows(CHUNK * width, u)[:4]
        record = _aligned(CHUNK * J * LANES, u), _aligned((CHUNK + 1) * J * LANES, u)
        rows = (step_rows, x_rows, B_rows, C_rows, g_rows)
        grad_rows = (grad_B_rows, grad_C_rows, *images[5:])
        for chunk in range(chunks - 1, -1, -1):
            start = chunk * CHUNK
            steps = min(CHUNK, u.shape[1] - start)
            now, following = (order, start), (order, max(start - CHUNK, 0))
            vectors = -(-steps * c // LANES)
            _fetch((B_rows, C_rows), width, (B, C), b, k, now, steps)
            move.clear(grad_rows[:2], CHUNK * tiles)
            for block in range(begin, end):
                where = (b, k, block * c)
                move.gather(c, (u_rows, 0, c), u, where, now, steps)
                move.gather(c, (step_rows, 0, c), delta, where, now, steps)
                move.gather(c, (g_rows, 0, c), grad_y, where, now, steps)
                emit.activate_twice((step_rows, u_rows, slope_rows, x_rows), vectors)
                move.clear(grad_rows[2:], vectors)
                soon = ((u, delta, grad_y), where, (B, C), where, following)
                results = (grads[:2], where, grads[2:], (part, k, 0), now)
                for i in range(tiles):
                    first = ((block - begin) * tiles + i) * J * LANES
                    place = ((saved + block * chunks + chunk) * tiles + i) * J * LANES
                    saved_state = (states, place, max(place - tiles * J * LANES, 0))
                    tile = (first, i * span, width, steps)
                    emit.retrace(c, J, saved_state, rates, rows[:3], tile, record, results)
                    emit.reverse(
                        c, J, (adjoint, rate_sums), rates, rows, grad_rows, tile, record, soon
                    )
                skip_sum, raw = (skip_sums, (block - begin) * LANES), (u_rows, slope_rows, g_rows)
                emit.finish(c, step_rows, raw, grad_rows[2:], D, skip_sum, where, steps, vectors)
                move.scatter(c, (grad_rows[2], 0, c), grads[0], where, now, steps)
                move.scatter(c, (grad_rows[3], 0, c), grads[1], where, now, steps)
            _put(grad_rows[:2], width, grads[2:], part, k, now, steps)
        _store_sums(sums, b, k, rate_sums, skip_sums, begin, c, J, tiles)

    return _compile(backward, double, "ii4443442o1GS")


def _compile(function: Callable[..., None], double: bool, kinds: str) -> Any:
    """Compile for arguments of the given kinds.

    i is an integer, 4, 3 and 2 a strided array of that many dimensions, 1 a contiguous
    one, o the order, G the gradients of u, delta, B and C, S those of A and D.
    """
    real = float64 if double else float32
    image, cube, matrix = real[:, :, :, :], real[:, :, :], real[:, :]
    types = {"i": int64, "4": image, "3": cube, "2": matrix, "1": real[::1], "o": int32[:, ::1]}
    types |= {"G": UniTuple(image, 4), "S": Tuple((image, cube))}
    return njit(void(*(types[kind] for kind in kinds)), nogil=True, cache=True)(function)
