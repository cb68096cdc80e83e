# mypy: disable-error-code="arg-type, no-untyped-def, operator"
# Numba builds the named tuples from arrays and integers; mypy sees the types in emitted code.
"""The forward scan with everything that precedes it, for inference on the CPU.

Δ, B and C of a pixel are five to eight times as many numbers as its channels. This kernel computes
them chunk by chunk from the channels that it gathers, so that they never leave the cache. Names and
layouts are those of `eamamba.selective_scan.cpu.kernels`, and:

================  ================================  =====================================
symbol            shape                             meaning
================  ================================  =====================================
x                 (batch, L, K, D)                  input before the SiLU
u                 (all blocks of D, CHUNK, c)       SiLU(x) of a chunk
weights           (K, 1 + all blocks c, columns)    bias, then one row per channel; columns:
                                                    Δ of all blocks, B, C (`packed`)
================  ================================  =====================================
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from numba import float32, float64, int32, int64, void
from torch import Tensor

from eamamba.selective_scan.cpu import steps
from eamamba.selective_scan.cpu.kernels import (
    CHUNK,
    _aligned,
    _compiled,
    _emitted_version,
    _forward_rows,
    _scaled_rates,
    _share,
    _visits,
    layout,
)
from eamamba.selective_scan.cpu.simd import (
    LANES,
    Memory,
    Register,
    Value,
    emitted,
    loop,
    softplus_and_sigmoid,
)
from eamamba.selective_scan.cpu.steps import Position, Tile, Upcoming

STEPS = 8  # whose products are summed at once, so that additions do not wait for each other


def packed(weight: Tensor, bias: Tensor, states: int) -> Tensor:
    """Return ``weights`` from weight (K, D + 2N, D) and bias (K, D), padded with zeros."""
    heads, _, channels = weight.shape
    c, _, tiles = layout(channels, states)
    padded, width = -(-channels // c) * c, tiles * LANES
    weights = weight.new_zeros(heads, 1 + padded, padded + 2 * width)
    weights[:, 0, :channels] = bias
    parts = weight.transpose(1, 2).split((channels, states, states), -1)
    for first, part in zip((0, padded, padded + width), parts, strict=True):
        weights[:, 1 : 1 + channels, first : first + part.shape[-1]] = part
    return weights


@emitted
def silu(rows: Memory, vectors: Value) -> None:
    """Replace the first ``vectors * LANES`` numbers x by x sigmoid(x)."""
    with loop(vectors) as i:
        x = rows.load(i * LANES)
        rows.store(i * LANES, x * softplus_and_sigmoid(x)[1])


@emitted
def project(
    c: int,
    lanes: int,
    target: Memory,
    to: Value,
    width: Value,
    u: Memory,
    blocks: Value,
    weights: Memory,
    k: Value,
    first: Value,
    groups: Value,
) -> None:
    """Compute ``lanes`` columns of the product of ``groups * STEPS`` rows of u and the weights."""
    head = weights.at(k)
    with loop(groups) as group:
        start = group * STEPS
        sums = [Register(head.load(first, lanes)) for _ in range(STEPS)]
        with loop(blocks) as block:
            for channel in range(c):
                row = head.at(block * c + (1 + channel)).load(first, lanes)
                for t, total in enumerate(sums):
                    number = u.broadcast((block * CHUNK + start + t) * c + channel)
                    total.set(number.shuffle(range(lanes)).times_plus(row, total.get()))
        for t, total in enumerate(sums):
            target.store((start + t) * width + to, total.get())


@lru_cache
def projecting_kernel(c: int, J: int, double: bool) -> Any:
    """Compile (or load) the kernel for a layout of channels and states.

    Called as ``kernel(task, groups, x, weights, A, D, order, y)`` with 0 <= task < batch K groups,
    it fills its share of y.
    """
    version = _emitted_version()

    def scan(task, groups, x, weights, A, D, order, y):
        assert version >= 0
        share = _share(task, groups, x, A, c, J)
        b, k, tiles = share.b, share.k, share.tiles
        width, tile_size, block_size = tiles * LANES, J * LANES, tiles * J * LANES
        blocks = -(-A.shape[1] // c)
        A_log2 = _scaled_rates(A, share, c, J)
        h = _aligned(A_log2.size, x)
        u = _aligned(blocks * CHUNK * c, x)
        chunk_rows = _forward_rows(c, width, x)
        for chunk in range(share.chunks):
            visits, next_visits = _visits(order, chunk, 1)
            sums = -(-visits.steps // STEPS)
            for block in range(blocks):
                position = Position(b, k, block * c)
                steps.gather(c, (u,), block * CHUNK * c, c, (x,), position, visits)
            silu(u, blocks * CHUNK * c // LANES)
            for i in range(tiles):
                to, at = i * LANES, blocks * c + i * LANES
                project(c, LANES, chunk_rows.B, to, width, u, blocks, weights, k, at, sums)
                at += width
                project(c, LANES, chunk_rows.C, to, width, u, blocks, weights, k, at, sums)
            for block in range(share.begin, share.end):
                position = Position(b, k, block * c)
                project(c, c, chunk_rows.Δ, 0, c, u, blocks, weights, k, block * c, sums)
                steps.copy(chunk_rows.Δu, 0, u, block * CHUNK * c, CHUNK * c // LANES)
                steps.activate(c, chunk_rows, D, position, -(-visits.steps * c // LANES))
                first = (block - share.begin) * block_size
                upcoming = Upcoming((x, y), position, (), position, next_visits)
                for i in range(tiles):
                    tile = Tile(
                        first=first + i * tile_size,
                        column=i * J * (LANES // c),
                        width=width,
                        steps=visits.steps,
                    )
                    steps.scan_tile(c, J, h, A_log2, chunk_rows, tile, upcoming)
                steps.scatter(c, (chunk_rows.y,), 0, c, (y,), position, visits)

    real = float64 if double else float32
    image = real[:, :, :, :]
    signature = void(
        int64,  # task
        int64,  # groups
        image,  # x
        real[:, :, ::1],  # weights
        real[:, :, :],  # A
        real[:, :],  # D
        int32[:, ::1],  # order
        image,  # y
    )
    return _compiled(signature, scan)
