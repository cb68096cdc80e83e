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

from eamamba.selective_scan.cpu import rows as move
from eamamba.selective_scan.cpu import steps as emit
from eamamba.selective_scan.cpu.simd import LANES

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
    names = ("math.py", "rows.py", "simd.py", "steps.py")
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
def _scratch(A, k, begin, end, c, J, tiles):  # type: ignore[no-untyped-def]
    """Return what the backward pass works on.

    The rows of images and of projections; (decays, history) of a chunk; (rates, gradient
    of the state, gradient of the rates); the gradient of D.
    """
    rates = _rates(A, k, begin, end, c, J, tiles)
    record = _aligned(CHUNK * J * LANES, A), _aligned((CHUNK + 1) * J * LANES, A)
    totals = rates, _aligned(rates.size, A), _aligned(rates.size, A)
    images, projections = _rows(CHUNK * c, A), _rows(CHUNK * tiles * LANES, A)[:4]
    return images, projections, record, totals, _aligned((end - begin) * LANES, A)


@njit
def _visits(order, chunk, direction):  # type: ignore[no-untyped-def]
    """Return the steps of a chunk, its visits, and as many of the next one to be scanned."""
    length, start = order.shape[1], chunk * CHUNK
    steps = min(CHUNK, length - start)
    following = max(0, min(start + direction * CHUNK, length - steps))
    return steps, (order, start), (order, following)


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
def _fetch(rows, images, b, k, visits, steps, tiles):  # type: ignore[no-untyped-def]
    """Gather the rows of B and C, of any length."""
    for i in range(tiles):
        where = (b, k, i * LANES)
        move.gather(LANES, rows, i * LANES, tiles * LANES, images, where, visits, steps)


@njit
def _put(rows, images, b, k, visits, steps, tiles):  # type: ignore[no-untyped-def]
    """Scatter the rows of the gradients of B and C."""
    for i in range(tiles):
        where = (b, k, i * LANES)
        move.scatter(LANES, rows, i * LANES, tiles * LANES, images, where, visits, steps)


@lru_cache
def forward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the forward pass for a layout of channels and states."""
    version = _emitted_version()

    def forward(task, groups, u, delta, A, B, C, D, order, y, states):  # type: ignore[no-untyped-def]
        assert version >= 0
        b, k, _, begin, end, span, tiles, chunks, saved = _sizes(u, A, task, groups, c, J)
        rates = _rates(A, k, begin, end, c, J, tiles)
        h = _aligned(rates.size, u)
        step_rows, x_rows, y_rows = _rows(CHUNK * c, u)[:3]
        projections = _rows(CHUNK * tiles * LANES, u)[:2]
        rows = (step_rows, x_rows, *projections, y_rows)
        for chunk in range(chunks):
            steps, now, following = _visits(order, chunk, 1)
            _fetch(projections, (B, C), b, k, now, steps, tiles)
            for block in range(begin, end):
                where = (b, k, block * c)
                move.gather(c, (step_rows, x_rows), 0, c, (delta, u), where, now, steps)
                emit.activate(c, (step_rows, x_rows, y_rows), D, where, -(-steps * c // LANES))
                first = (block - begin) * tiles * J * LANES
                if states.size > 0:
                    place = (saved + block * chunks + chunk) * tiles * J * LANES
                    move.copy(states, place, h, first, tiles * J)
                soon = ((u, delta, y), where, (B, C), where, following)
                for i in range(tiles):
                    tile = (first + i * J * LANES, i * span, tiles * LANES, steps)
                    emit.advance(c, J, h, rates, rows, tile, soon)
                move.scatter(c, (y_rows,), 0, c, (y,), where, now, steps)

    return _compile(forward, double, "ii443442o41")


@lru_cache
def backward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the backward pass for a layout of channels and states."""
    version = _emitted_version()

    def back(task, groups, grad_y, u, delta, A, B, C, D, order, states, grads, sums):  # type: ignore[no-untyped-def]
        assert version >= 0
        b, k, group, begin, end, span, tiles, chunks, saved = _sizes(u, A, task, groups, c, J)
        images, projections, record, totals, skips = _scratch(A, k, begin, end, c, J, tiles)
        step_rows, x_rows, u_rows, slope_rows, g_rows = images[:5]
        rows = (step_rows, x_rows, *projections[:2], g_rows)
        grad_rows = (*projections[2:], *images[5:])
        part = group * u.shape[0] + b
        for chunk in range(chunks - 1, -1, -1):
            steps, now, following = _visits(order, chunk, -1)
            vectors = -(-steps * c // LANES)
            _fetch(projections[:2], (B, C), b, k, now, steps, tiles)
            move.clear(grad_rows[:2], CHUNK * tiles)
            for block in range(begin, end):
                where = (b, k, block * c)
                raw, inputs = (step_rows, u_rows, g_rows), (delta, u, grad_y)
                move.gather(c, raw, 0, c, inputs, where, now, steps)
                emit.activate_twice((step_rows, u_rows, slope_rows, x_rows), vectors)
                move.clear(grad_rows[2:], vectors)
                soon = (inputs, where, (B, C), where, following)
                results = (grads[:2], where, grads[2:], (part, k, 0), now)
                for i in range(tiles):
                    first = ((block - begin) * tiles + i) * J * LANES
                    place = ((saved + block * chunks + chunk) * tiles + i) * J * LANES
                    start = (states, place, max(place - tiles * J * LANES, 0))
                    tile = (first, i * span, tiles * LANES, steps)
                    emit.retrace(c, J, start, totals[0], rows[:3], tile, record, results)
                    emit.reverse(c, J, totals, rows, grad_rows, tile, record, soon)
                skip = (skips, (block - begin) * LANES)
                emit.finish(c, (*raw, slope_rows), grad_rows[2:], D, skip, where, steps, vectors)
                move.scatter(c, grad_rows[2:], 0, c, grads[:2], where, now, steps)
            _put(grad_rows[:2], grads[2:], part, k, now, steps, tiles)
        _store_sums(sums, b, k, totals[2], skips, begin, c, J, tiles)

    return _compile(back, double, "ii4443442o1GS")


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
