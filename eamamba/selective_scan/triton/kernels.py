# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Triton kernels of the selective scan; `eamamba.selective_scan.triton` launches them.

The sequence is cut into chunks, so that one image fills a large GPU:

1. ``chunk_ends``: every chunk alone, from a zero state, to its last state;
2. ``combine_chunks``: those few states one after the other, to each chunk's first state;
3. ``forward_chunks``: every chunk again from its first state, writing the output;
   or ``backward_chunks``, where 1 and 2 ran from the end with the adjoint state.

A program takes the channels of one head, at most BD, through one chunk, in tiles of T
steps (`tiles`). Letters: D channels and N states of a head, BD and PN the same
padded to powers of two. No decay is ever divided by: it underflows for long steps.
"""

from __future__ import annotations

import triton
import triton.language as tl

from eamamba.selective_scan.triton.tiles import (
    LOG2_E,
    by_channel,
    by_state,
    differentiate,
    load_tile,
    of_head,
    parameters,
    place,
    put_by_channel,
    put_by_state,
    run_adjoints,
    run_states,
    span,
    take,
    tile_starts,
)

# Compiled once for all image sizes: nothing is gained from knowing these numbers.
SIZES = ["length", "chunk", "chunks", "heads", "batch"]
STRIDES = [f"{x}_{axis}" for x in ("x", "m", "u", "delta", "B", "C")
           for axis in ("batch", "row", "head")]  # fmt: skip


@triton.jit(do_not_specialize=SIZES + STRIDES)
def chunk_ends(
    x, x_batch, x_row, x_head,
    delta, delta_batch, delta_row, delta_head,
    m, m_batch, m_row, m_head,
    A, order, ends, totals, length, chunk, heads,
    D: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, PN: tl.constexpr,
    T: tl.constexpr, UNIT: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Last state of each chunk from a zero state, and the sum of Δ over the chunk.

    x is u and m is B. With REVERSE, x is the gradient of y, m is C, and the state is the
    message that the adjoint recurrence sends out of the chunk's first step.
    """
    c = tl.program_id(0) + (1 if REVERSE else 0)
    b, k, _block, d, n, cell, cell_kept = place(D, N, BD, PN)
    rate = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0) * LOG2_E
    x, m = of_head(b, k, x, x_batch, x_head, m, m_batch, m_head, UNIT)
    delta += (b * delta_batch + k * delta_head) * UNIT
    h = tl.zeros((BD, PN), tl.float32)
    total = tl.zeros((BD, T), tl.float32)
    start, stop, tiles = span(c, chunk, length, T)
    j = tl.arange(0, T)
    head = (order + k * length, x, x_row, delta, delta_row, m, m_row, rate, d, n)
    for tile in range(tiles):
        t = start + (tiles - 1 - tile if REVERSE else tile) * T + j
        _p, _inside, _keep, step, _slope, value, decay, into = load_tile(head, t, stop, D, N, UNIT)
        total += step
        if REVERSE:
            h, _ = run_adjoints(h, decay, value[:, :, None] * into, j, T)
        else:
            h, _, _ = run_states(h, decay, (step * value)[:, :, None] * into, j, T)
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D
    tl.store(ends + at * N + cell, h, mask=cell_kept)
    tl.store(totals + at + d, tl.sum(total, 1), mask=d < D)


@triton.jit
def _affine(decay_1, add_1, decay_2, add_2):
    """Compose h -> decay_1 h + add_1 with the later step h -> decay_2 h + add_2."""
    return decay_1 * decay_2, decay_2 * add_1 + add_2


@triton.jit(do_not_specialize=SIZES + STRIDES)
def combine_chunks(
    A, ends, totals, starts, chunks, heads,
    D: tl.constexpr, N: tl.constexpr, PN: tl.constexpr,
    T: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """First state of every chunk (``starts``) from the ``ends`` of those before it.

    With REVERSE the chunks follow each other from the last to the first.
    One program per batch element, head and channel.
    """
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1)
    n = tl.arange(0, PN)
    rate = tl.load(A + ((row % heads) * D + d) * N + n, mask=n < N, other=0.0) * LOG2_E
    ahead = -1 if REVERSE else 1
    first = chunks - 1 if REVERSE else 0
    h = tl.zeros((PN,), tl.float32)
    tl.store(starts + ((row * chunks + first) * D + d) * N + n, h, mask=n < N)
    for i in range(0, chunks - 1, T):
        step = i + tl.arange(0, T)
        inside = step < chunks - 1
        at = (row * chunks + first + step * ahead) * D + d
        keep = inside[:, None] & (n < N)[None, :]
        total = tl.load(totals + at, mask=inside, other=0.0)
        end = tl.load(ends + at[:, None] * N + n[None, :], mask=keep, other=0.0)
        decay = tl.exp2(total[:, None] * rate[None, :])
        end += tl.where((step == i)[:, None], decay * h[None, :], 0.0)
        _, states = tl.associative_scan((decay, end), 0, _affine)
        tl.store(starts + (at + ahead * D)[:, None] * N + n[None, :], states, mask=keep)
        h = tl.sum(tl.where((step == i + T - 1)[:, None], states, 0.0), 0)


@triton.jit(do_not_specialize=SIZES + STRIDES)
def forward_chunks(
    u, u_batch, u_row, u_head,
    delta, delta_batch, delta_row, delta_head,
    B, B_batch, B_row, B_head,
    C, C_batch, C_row, C_head,
    A, skip, order, starts, y, states, length, chunk, heads,
    D: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, PN: tl.constexpr,
    T: tl.constexpr, UNIT: tl.constexpr, SAVE: tl.constexpr,
):  # fmt: skip
    """Output of every chunk; with SAVE > 0 also the state before every SAVE-th step."""
    b, k, _block, d, n, cell, cell_kept = place(D, N, BD, PN)
    A_head, through = parameters(A, skip, k, d, cell, cell_kept, D, N)
    rate = A_head * LOG2_E
    c = tl.program_id(0)
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D * N
    h = tl.load(starts + at + cell, mask=cell_kept, other=0.0)
    u, delta = of_head(b, k, u, u_batch, u_head, delta, delta_batch, delta_head, UNIT)
    B, C = of_head(b, k, B, B_batch, B_head, C, C_batch, C_head, UNIT)
    y += (b * length * heads + k) * D
    start, stop, _tiles = span(c, chunk, length, T)
    j = tl.arange(0, T)
    head = (order + k * length, u, u_row, delta, delta_row, B, B_row, rate, d, n)
    for t0 in range(start, stop, T):
        if SAVE > 0:
            if t0 % SAVE == 0:
                saved = (b * heads + k) * tl.cdiv(length, SAVE) + t0 // SAVE
                tl.store(states + saved * D * N + cell, h, mask=cell_kept)
        p, inside, keep, step, _slope, value, decay, into = load_tile(
            head, t0 + j, stop, D, N, UNIT
        )
        h, hs, _ = run_states(h, decay, (step * value)[:, :, None] * into, j, T)
        out = tl.sum(hs * by_state(C, p, C_row, inside, n, N, BD, UNIT), 2)
        out += through * value
        tl.store(y + (p * heads)[None, :] * D + d[:, None], out, mask=keep)


@triton.jit(do_not_specialize=SIZES + STRIDES)
def backward_chunks(
    u, u_batch, u_row, u_head, delta, delta_batch, delta_row, delta_head,
    B, B_batch, B_row, B_head, C, C_batch, C_row, C_head,
    A, skip, order, messages, states, grad_y, grad_u, grad_delta, grad_A, grad_B, grad_C,
    grad_skip, length, chunk, heads, batch, UNIT: tl.constexpr, SAVE: tl.constexpr,
    D: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, PN: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    """All gradients of every chunk, from its end, SAVE steps and in these tile by tile.

    ``states`` holds the state before every SAVE-th step, ``messages`` what the adjoint recurrence
    sends into each chunk. grad_B and grad_C are sums over this block of channels, grad_A
    and grad_skip over this chunk: the caller adds those up.
    """
    b, k, block, d, n, cell, cell_kept = place(D, N, BD, PN)
    A_head, through = parameters(A, skip, k, d, cell, cell_kept, D, N)
    start, stop, groups = span(tl.program_id(0), chunk, length, SAVE)
    at = ((b * heads + k) * tl.cdiv(length, chunk) + tl.program_id(0)) * D
    message = tl.load(messages + at * N + cell, mask=cell_kept, other=0.0)
    states += (b * heads + k) * tl.cdiv(length, SAVE) * D * N
    u, delta = of_head(b, k, u, u_batch, u_head, delta, delta_batch, delta_head, UNIT)
    B, C = of_head(b, k, B, B_batch, B_head, C, C_batch, C_head, UNIT)
    row = b * length * heads + k
    block_row = row + block * batch * length * heads
    sum_A = tl.zeros((BD, PN), tl.float32)
    sum_skip = tl.zeros((BD, T), tl.float32)
    j = tl.arange(0, T)
    head = (order + k * length, u, u_row, delta, delta_row, B, B_row, A_head * LOG2_E, d, n)
    for later in range(groups):
        t0 = start + (groups - 1 - later) * SAVE
        h = tl.load(states + (t0 // SAVE).to(tl.int64) * D * N + cell, mask=cell_kept, other=0.0)
        starts = tile_starts(head, h, t0, stop, j, D, N, UNIT, T, SAVE // T)
        for later_tile in range(SAVE // T):
            tile = SAVE // T - 1 - later_tile
            h, t = take(starts, tile), t0 + tile * T + j
            p, inside, keep, step, slope, value, decay, into = load_tile(head, t, stop, D, N, UNIT)
            g = by_channel(grad_y + row * D, p, heads * D, d, keep, 1)
            out_of = by_state(C, p, C_row, inside, n, N, BD, UNIT)
            message, part_A, part_B, part_C, part_u, part_delta = differentiate(
                h, message, step, slope, value, decay, into, g, out_of, A_head, through, j, T
            )
            sum_A += part_A
            sum_skip += g * value
            put_by_channel(grad_u, part_u, grad_delta, part_delta, row + p * heads, d, keep, D)
            put_by_state(grad_B, part_B, grad_C, part_C, block_row + p * heads, inside, n, N)
    tl.store(grad_A + at * N + cell, sum_A, mask=cell_kept)
    tl.store(grad_skip + at + d, tl.sum(sum_skip, 1), mask=d < D)
