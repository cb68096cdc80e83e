# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Triton kernels of the selective scan; `eamamba.selective_scan.triton` launches them.

The sequence is cut into chunks, so that one image fills a large GPU:

1. ``chunk_ends``: every chunk alone, from a zero state, to its last state;
2. ``combine_chunks``: those few states one after the other, to each chunk's first state;
3. ``forward_chunks``: every chunk again from its first state, writing the output;
   or ``backward_chunks``, where 1 and 2 ran from the end with the adjoint state.

A program takes the channels of one head, at most BD, through one chunk, in tiles of T
steps (`_triton_tiles`). Letters: D channels and N states of a head, BD and PN the same
padded to powers of two. No decay is ever divided by: it underflows for long steps.
"""

from __future__ import annotations

import triton
import triton.language as tl

from eamamba.selective_scan._triton_tiles import (
    LOG2_E,
    by_channel,
    by_state,
    place,
    run_adjoints,
    run_states,
    steps,
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
    k, b, d, n, cell, cell_kept = place(D, N, BD, PN)
    rate = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0) * LOG2_E
    x += (b * x_batch + k * x_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    m += (b * m_batch + k * m_head) * UNIT
    h = tl.zeros((BD, PN), tl.float32)
    total = tl.zeros((BD, T), tl.float32)
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    tiles = tl.cdiv(stop - start, T)
    j = tl.arange(0, T)
    for tile in range(tiles):
        t = start + (tiles - 1 - tile if REVERSE else tile) * T + j
        p, keep, step, _ = steps(order + k * length, delta, delta_row, t, stop, d, D, UNIT)
        value = by_channel(x, p, x_row, d, keep, UNIT)
        total += step
        if not REVERSE:
            value *= step
        decay = tl.exp2(step[:, :, None] * rate[:, None, :])
        add = value[:, :, None] * by_state(m, p, m_row, t < stop, n, N, BD, UNIT)
        if REVERSE:
            h, _ = run_adjoints(h, decay, add, j, T)
        else:
            h, _, _ = run_states(h, decay, add, j, T)
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
    k, b, d, n, cell, cell_kept = place(D, N, BD, PN)
    rate = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0) * LOG2_E
    through = tl.load(skip + k * D + d, mask=d < D, other=0.0)[:, None]
    c = tl.program_id(0)
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D * N
    h = tl.load(starts + at + cell, mask=cell_kept, other=0.0)
    u += (b * u_batch + k * u_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    B += (b * B_batch + k * B_head) * UNIT
    C += (b * C_batch + k * C_head) * UNIT
    y += (b * length * heads + k) * D
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    j = tl.arange(0, T)
    for t0 in range(start, stop, T):
        if SAVE > 0:
            if t0 % SAVE == 0:
                saved = (b * heads + k) * tl.cdiv(length, SAVE) + t0 // SAVE
                tl.store(states + saved * D * N + cell, h, mask=cell_kept)
        t = t0 + j
        p, keep, step, _ = steps(order + k * length, delta, delta_row, t, stop, d, D, UNIT)
        value = by_channel(u, p, u_row, d, keep, UNIT)
        decay = tl.exp2(step[:, :, None] * rate[:, None, :])
        add = (step * value)[:, :, None] * by_state(B, p, B_row, t < stop, n, N, BD, UNIT)
        h, hs, _ = run_states(h, decay, add, j, T)
        out = tl.sum(hs * by_state(C, p, C_row, t < stop, n, N, BD, UNIT), 2)
        tl.store(y + (p * heads)[None, :] * D + d[:, None], out + through * value, mask=keep)


@triton.jit(do_not_specialize=SIZES + STRIDES)
def backward_chunks(
    grad_y,
    u, u_batch, u_row, u_head,
    delta, delta_batch, delta_row, delta_head,
    B, B_batch, B_row, B_head,
    C, C_batch, C_row, C_head,
    A, skip, order, messages, states,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_skip, length, chunk, heads, batch,
    D: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, PN: tl.constexpr,
    T: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    """All gradients of every chunk, tile by tile from its end.

    ``states`` holds the state before each tile, ``messages`` what the adjoint recurrence
    sends into each chunk. grad_B and grad_C are sums over this block of channels, grad_A
    and grad_skip over this chunk: the caller adds those up.
    """
    k, b, d, n, cell, cell_kept = place(D, N, BD, PN)
    A_head = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0)
    through = tl.load(skip + k * D + d, mask=d < D, other=0.0)[:, None]
    c = tl.program_id(0)
    chunks = tl.cdiv(length, chunk)
    at = ((b * heads + k) * chunks + c) * D * N
    message = tl.load(messages + at + cell, mask=cell_kept, other=0.0)
    states += (b * heads + k) * tl.cdiv(length, T) * D * N
    u += (b * u_batch + k * u_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    B += (b * B_batch + k * B_head) * UNIT
    C += (b * C_batch + k * C_head) * UNIT
    row = b * length * heads + k
    block = (tl.program_id(1) % ((D + BD - 1) // BD)).to(tl.int64)
    block_row = row + block * batch * length * heads
    sum_A = tl.zeros((BD, PN), tl.float32)
    sum_skip = tl.zeros((BD, T), tl.float32)
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    tiles = tl.cdiv(stop - start, T)
    for tile in range(tiles):
        t0 = start + (tiles - 1 - tile) * T
        j = tl.arange(0, T)
        inside = t0 + j < stop
        p, keep, step, slope = steps(order + k * length, delta, delta_row, t0 + j, stop, d, D, UNIT)
        value = by_channel(u, p, u_row, d, keep, UNIT)
        g = by_channel(grad_y + row * D, p, heads * D, d, keep, 1)
        into = by_state(B, p, B_row, inside, n, N, BD, UNIT)
        out_of = by_state(C, p, C_row, inside, n, N, BD, UNIT)
        h = tl.load(states + (t0 // T).to(tl.int64) * D * N + cell, mask=cell_kept, other=0.0)

        decay = tl.exp2(step[:, :, None] * (A_head * LOG2_E)[:, None, :])
        add = (step * value)[:, :, None] * into
        _, hs, kept = run_states(h, decay, add, j, T)
        message, adjoint = run_adjoints(message, decay, g[:, :, None] * out_of, j, T)

        to_state = (block_row + p * heads)[:, None] * N + n[None, :]
        state_kept = inside[:, None] & (n < N)[None, :]
        tl.store(grad_C + to_state, tl.sum(g[:, :, None] * hs, 0), mask=state_kept)
        grad_into = tl.sum(adjoint * (step * value)[:, :, None], 0)
        tl.store(grad_B + to_state, grad_into, mask=state_kept)
        exponent = adjoint * kept
        sum_A += tl.sum(exponent * step[:, :, None], 1)
        sum_skip += g * value
        grad_add = tl.sum(adjoint * into, 2)
        grad_step = tl.sum(exponent * A_head[:, None, :], 2) + value * grad_add
        to_channel = (row + p * heads)[None, :] * D + d[:, None]
        tl.store(grad_u + to_channel, step * grad_add + through * g, mask=keep)
        tl.store(grad_delta + to_channel, grad_step * slope, mask=keep)
    part = ((b * chunks + c) * heads + k) * D
    tl.store(grad_A + part * N + cell, sum_A, mask=cell_kept)
    tl.store(grad_skip + part + d, tl.sum(sum_skip, 1), mask=d < D)
