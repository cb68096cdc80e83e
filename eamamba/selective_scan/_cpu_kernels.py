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

from functools import lru_cache
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


@njit
def _aligned(count, like):  # type: ignore[no-untyped-def]
    """Return zeros that start at a cache line, so that no vector crosses one."""
    numbers = np.zeros(count + LANES, like.dtype)
    skip = (-numbers.ctypes.data // numbers.itemsize) % LANES
    return numbers[skip : skip + count]


@njit
def _pack(vectors, A, first, c, J, factor):  # type: ignore[no-untyped-def]
    """Bring (D, N) numbers of the channels from ``first`` on into the order of the vectors."""
    for i in range(vectors.size):
        tile, j, lane = i // (J * LANES), i // LANES % J, i % LANES
        n = tile * J * (LANES // c) + lane // c * J + j
        channel = first + lane % c
        if channel < A.shape[0] and n < A.shape[1]:
            vectors[i] = A[channel, n] * factor


@njit
def _unpack(A, vectors, first, c, J):  # type: ignore[no-untyped-def]
    """Undo `_pack`."""
    for i in range(vectors.size):
        tile, j, lane = i // (J * LANES), i // LANES % J, i % LANES
        n = tile * J * (LANES // c) + lane // c * J + j
        if first + lane % c < A.shape[0] and n < A.shape[1]:
            A[first + lane % c, n] = vectors[i]


@njit
def _pack_skip(vector, D, first, c):  # type: ignore[no-untyped-def]
    """Repeat the skip weights of the channels from ``first`` on over a vector."""
    for lane in range(LANES):
        if first + lane % c < D.shape[0]:
            vector[lane] = D[first + lane % c]


@njit
def _fetch(rows, width, source, visits, start, steps):  # type: ignore[no-untyped-def]
    """Gather rows of any width, `LANES` numbers at a time."""
    for column in range(0, source.shape[1], LANES):
        part = source[:, column : column + LANES]
        emit.gather(rows[column:], width, LANES, part, visits, start, steps)


@njit
def _put(rows, width, target, visits, start, steps):  # type: ignore[no-untyped-def]
    """Undo `_fetch`."""
    for column in range(0, target.shape[1], LANES):
        part = target[:, column : column + LANES]
        emit.scatter(rows[column:], width, LANES, part, visits, start, steps)


@lru_cache
def forward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the forward pass for a layout of channels and states."""
    span = J * (LANES // c)  # states in a tile
    tile_size = J * LANES

    def forward(task, groups, u, delta, A, B, C, D, order, y, states):  # type: ignore[no-untyped-def]
        channels, N, length = u.shape[3], A.shape[2], u.shape[1]
        b, k, group = task // groups // A.shape[0], task // groups % A.shape[0], task % groups
        blocks, tiles = -(-channels // c), -(-N // span)
        chunks = -(-length // CHUNK)
        visits = order[k]
        width = -(-((tiles - 1) * span + LANES) // LANES) * LANES
        first, last = group * blocks // groups, (group + 1) * blocks // groups
        size = tiles * tile_size  # numbers in the state of a block
        rates, skips = _aligned((last - first) * size, u), _aligned((last - first) * LANES, u)
        h = _aligned((last - first) * size, u)
        for block in range(first, last):
            i = block - first
            _pack(rates[i * size : (i + 1) * size], A[k], block * c, c, J, LOG2_E)
            _pack_skip(skips[i * LANES : (i + 1) * LANES], D[k], block * c, c)
        x_rows, step_rows, y_rows = (
            _aligned(CHUNK * c, u), _aligned(CHUNK * c, u), _aligned(CHUNK * c, u),
        )
        B_rows, C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        for chunk in range(chunks):
            start = chunk * CHUNK
            steps = min(CHUNK, length - start)
            ahead = min(start + CHUNK, length - steps)
            B_k, C_k = B[b, :, k], C[b, :, k]
            _fetch(B_rows, width, B_k, visits, start, steps)
            _fetch(C_rows, width, C_k, visits, start, steps)
            for block in range(first, last):
                i = block - first
                low, high = block * c, min(block * c + c, channels)
                u_k, delta_k, y_k = u[b, :, k, low:high], delta[b, :, k, low:high], y[b, :, k, low:high]
                emit.gather(x_rows, c, c, u_k, visits, start, steps)
                emit.gather(step_rows, c, c, delta_k, visits, start, steps)
                emit.activate(
                    step_rows, x_rows, y_rows, skips[i * LANES :], -(-steps * c // LANES)
                )
                if states.size > 0:
                    place = (((b * A.shape[0] + k) * blocks + block) * chunks + chunk) * size
                    states[place : place + size] = h[i * size : (i + 1) * size]
                for tile in range(tiles):
                    emit.advance(
                        c, J, h, rates, i * size + tile * tile_size,
                        step_rows, x_rows, B_rows, C_rows, y_rows,
                        tile * span, width, steps, (u_k, delta_k, B_k, C_k, y_k), visits, ahead,
                    )
                emit.scatter(y_rows, c, c, y_k, visits, start, steps)

    real = float64 if double else float32
    image = real[:, :, :, :]
    signature = void(
        int64, int64, image, image, real[:, :, :], image, image, real[:, :], int32[:, ::1],
        image, real[::1],
    )
    return njit(signature, nogil=True, cache=True)(forward)


@lru_cache
def backward_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the backward pass for a layout of channels and states."""
    span = J * (LANES // c)
    tile_size = J * LANES

    def backward(  # type: ignore[no-untyped-def]
        task, groups, grad_y, u, delta, A, B, C, D, order, states,
        grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D,
    ):
        channels, N, length = u.shape[3], A.shape[2], u.shape[1]
        b, k, group = task // groups // A.shape[0], task // groups % A.shape[0], task % groups
        blocks, tiles = -(-channels // c), -(-N // span)
        chunks = -(-length // CHUNK)
        visits = order[k]
        width = -(-((tiles - 1) * span + LANES) // LANES) * LANES
        first, last = group * blocks // groups, (group + 1) * blocks // groups
        size = tiles * tile_size
        rates, skips = _aligned((last - first) * size, u), _aligned((last - first) * LANES, u)
        adjoint, grad_rates = _aligned((last - first) * size, u), _aligned((last - first) * size, u)
        grad_skips = _aligned((last - first) * LANES, u)
        for block in range(first, last):
            i = block - first
            _pack(rates[i * size : (i + 1) * size], A[k], block * c, c, J, LOG2_E)
            _pack_skip(skips[i * LANES : (i + 1) * LANES], D[k], block * c, c)
        rows = _aligned(CHUNK * c * 7, u).reshape((7, CHUNK * c))
        u_rows, x_rows, step_rows, slope_rows = rows[0], rows[1], rows[2], rows[3]
        g_rows, grad_x_rows, grad_step_rows = rows[4], rows[5], rows[6]
        B_rows, C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        grad_B_rows, grad_C_rows = _aligned(CHUNK * width, u), _aligned(CHUNK * width, u)
        decays = _aligned(CHUNK * tile_size, u)
        history = _aligned((CHUNK + 1) * tile_size, u)
        for chunk in range(chunks - 1, -1, -1):
            start = chunk * CHUNK
            steps = min(CHUNK, length - start)
            ahead = max(start - CHUNK, 0)
            B_k, C_k = B[b, :, k], C[b, :, k]
            _fetch(B_rows, width, B_k, visits, start, steps)
            _fetch(C_rows, width, C_k, visits, start, steps)
            grad_B_rows[:] = 0
            grad_C_rows[:] = 0
            for block in range(first, last):
                i = block - first
                low, high = block * c, min(block * c + c, channels)
                u_k, delta_k, g_k = u[b, :, k, low:high], delta[b, :, k, low:high], grad_y[b, :, k, low:high]
                emit.gather(u_rows, c, c, u_k, visits, start, steps)
                emit.gather(step_rows, c, c, delta_k, visits, start, steps)
                emit.gather(g_rows, c, c, g_k, visits, start, steps)
                vectors = -(-steps * c // LANES)
                emit.activate_twice(step_rows, u_rows, slope_rows, x_rows, vectors)
                grad_x_rows[:] = 0
                grad_step_rows[:] = 0
                for tile in range(tiles):
                    place = (((b * A.shape[0] + k) * blocks + block) * chunks + chunk) * size
                    of_tile = i * size + tile * tile_size
                    emit.retrace(
                        c, J, states, place + tile * tile_size, rates, of_tile,
                        step_rows, x_rows, B_rows, tile * span, width, steps, decays, history,
                    )
                    emit.reverse(
                        c, J, adjoint, rates, grad_rates, of_tile,
                        step_rows, x_rows, B_rows, C_rows, tile * span, width, steps,
                        decays, history, g_rows,
                        grad_x_rows, grad_step_rows, grad_B_rows, grad_C_rows,
                        (u_k, delta_k, g_k, B_k, C_k), visits, ahead,
                    )
                emit.finish(
                    c, step_rows, u_rows, slope_rows, g_rows, skips[i * LANES :],
                    grad_x_rows, grad_step_rows, grad_skips[i * LANES :], steps, vectors,
                )
                emit.scatter(
                    grad_x_rows, c, c, grad_u[b, :, k, low:high], visits, start, steps
                )
                emit.scatter(
                    grad_step_rows, c, c, grad_delta[b, :, k, low:high], visits, start, steps
                )
            _put(grad_B_rows, width, grad_B[group, b, :, k], visits, start, steps)
            _put(grad_C_rows, width, grad_C[group, b, :, k], visits, start, steps)
        for block in range(first, last):
            i = block - first
            _unpack(grad_A[b, k], grad_rates[i * size : (i + 1) * size], block * c, c, J)
            for channel in range(block * c, min(block * c + c, channels)):
                grad_D[b, k, channel] = grad_skips[i * LANES + channel - block * c]

    real = float64 if double else float32
    image, parts = real[:, :, :, :], real[:, :, :, :, :]
    signature = void(
        int64, int64, image, image, image, real[:, :, :], image, image, real[:, :],
        int32[:, ::1], real[::1], image, image, image, parts, parts, real[:, :, :],
    )
    return njit(signature, nogil=True, cache=True)(backward)
