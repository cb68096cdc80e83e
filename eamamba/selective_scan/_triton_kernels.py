# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Triton kernels of the selective scan; `eamamba.selective_scan.triton` launches them.

The sequence is cut into chunks, so that one image fills a large GPU:

1. ``chunk_ends``: every chunk alone, from a zero state, to its last state;
2. ``combine_chunks``: those few states one after the other, to each chunk's first state;
3. ``forward_chunks``: every chunk again from its first state, writing the output;
   or ``backward_chunks``, where 1 and 2 ran from the end with the adjoint state.

Inside a chunk a program takes tiles of T steps. Tiles are (D, T, N) with the steps in
the registers of one thread (channels and states lie across the threads), so that
`tl.associative_scan` over T becomes a plain chain of multiply-adds: this order of the
axes matters for speed, not for the result.

Letters: D channels of a head (BD in this program's block), T steps, N states (PN padded to
a power of two), K heads, L steps in all. ``*_row``, ``*_head``, ``*_batch`` are strides in
units of UNIT elements, from which the compiler learns that rows are aligned.
No decay is ever divided by: it underflows for long steps.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _softplus(x):
    """Return log(1 + exp(x)) and its derivative to float32 accuracy.

    log(1 + z) = 2 artanh(z / (2 + z)) as a series: 1 + z alone would round away small z.
    """
    z = tl.exp(-tl.abs(x))
    s = z / (2.0 + z)
    q = s * s
    series = 1.0 / 11.0 + q * (1.0 / 13.0)
    series = 1.0 / 9.0 + q * series
    series = 1.0 / 7.0 + q * series
    series = 1.0 / 5.0 + q * series
    series = 1.0 / 3.0 + q * series
    small = 1.0 / (1.0 + z)
    slope = tl.where(x >= 0.0, small, z * small)
    return tl.maximum(x, 0.0) + 2.0 * s * (1.0 + q * series), slope


@triton.jit
def _steps(order, delta, row, t, stop, d, D: tl.constexpr, UNIT: tl.constexpr):
    """Positions (T,) of the steps t, mask (BD, T), step sizes Δ and their slopes (BD, T).

    Δ is 0 past the end and in padded channels: the state then passes unchanged.
    """
    inside = t < stop
    p = tl.load(order + t, mask=inside, other=0).to(tl.int64)
    keep = (d < D)[:, None] & inside[None, :]
    raw = tl.load(delta + (p * row)[None, :] * UNIT + d[:, None], mask=keep, other=0.0)
    step, slope = _softplus(raw)
    return p, keep, tl.where(keep, step, 0.0), slope


@triton.jit
def _by_state(pointer, p, row, inside, n, N: tl.constexpr, BD: tl.constexpr, UNIT: tl.constexpr):
    """Rows p of B or C, for every channel: (BD, T, PN).

    Broadcast before the load, not after: every thread then reads the states it works on
    (from the cache, in one wide load), and the layout of the whole tile follows from it.
    """
    offset = (p * row)[None, :, None] * UNIT + n[None, None, :]
    keep = inside[None, :, None] & (n < N)[None, None, :]
    shape: tl.constexpr = (BD, p.shape[0], n.shape[0])
    return tl.load(
        pointer + tl.broadcast_to(offset, shape), mask=tl.broadcast_to(keep, shape), other=0.0
    )


@triton.jit
def _affine(decay_1, add_1, decay_2, add_2):
    """Compose h -> decay_1 h + add_1 with the later step h -> decay_2 h + add_2."""
    return decay_1 * decay_2, decay_2 * add_1 + add_2


@triton.jit
def _adjoint(decay_1, send_1, pass_1, adjoint_1, decay_2, send_2, pass_2, adjoint_2):
    """Compose the later steps 1 with the earlier steps 2 of the adjoint recurrence.

    With the message m from step t + 1, step t has the adjoint λ = c + m and sends a λ on.
    The scan keeps both λ (pass, adjoint) and the message (decay, send).
    """
    return (
        decay_2 * decay_1,
        send_2 + decay_2 * send_1,
        pass_2 * decay_1,
        adjoint_2 + pass_2 * send_1,
    )


@triton.jit
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
    BLOCKS: tl.constexpr = (D + BD - 1) // BD
    c = tl.program_id(0) + (1 if REVERSE else 0)
    k = (tl.program_id(1) // BLOCKS).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    d = (tl.program_id(1) % BLOCKS) * BD + tl.arange(0, BD)
    n = tl.arange(0, PN)
    cell = d[:, None] * N + n[None, :]
    cell_kept = (d < D)[:, None] & (n < N)[None, :]
    rate = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0) * LOG2_E
    x += (b * x_batch + k * x_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    m += (b * m_batch + k * m_head) * UNIT
    h = tl.zeros((BD, PN), tl.float32)
    total = tl.zeros((BD,), tl.float32)
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    tiles = tl.cdiv(stop - start, T)
    for i in range(tiles):
        t = start + (tiles - 1 - i if REVERSE else i) * T + tl.arange(0, T)
        p, keep, step, _ = _steps(
            order + k * length, delta, delta_row, t, stop, d, D, UNIT
        )
        value = tl.load(x + (p * x_row)[None, :] * UNIT + d[:, None], mask=keep, other=0.0)
        if REVERSE:  # Δ between the chunk's start and the step, the step itself included
            lag = tl.cumsum(step, 1)
        else:  # Δ from the step, itself excluded, to the end
            lag = tl.cumsum(step, 1, reverse=True) - step
            value *= step
        across = tl.sum(step, 1)
        weight = tl.exp2(rate[:, None, :] * lag[:, :, None])
        weight *= _by_state(m, p, m_row, t < stop, n, N, BD, UNIT)
        h = h * tl.exp2(rate * across[:, None]) + tl.sum(weight * value[:, :, None], 1)
        total += across
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D
    tl.store(ends + at * N + cell, h, mask=cell_kept)
    tl.store(totals + at + d, total, mask=d < D)


@triton.jit
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


@triton.jit
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
    BLOCKS: tl.constexpr = (D + BD - 1) // BD
    c = tl.program_id(0)
    k = (tl.program_id(1) // BLOCKS).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    d = (tl.program_id(1) % BLOCKS) * BD + tl.arange(0, BD)
    n = tl.arange(0, PN)
    cell = d[:, None] * N + n[None, :]
    cell_kept = (d < D)[:, None] & (n < N)[None, :]
    rate = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0) * LOG2_E
    through = tl.load(skip + k * D + d, mask=d < D, other=0.0)[:, None]
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D * N
    h = tl.load(starts + at + cell, mask=cell_kept, other=0.0)
    u += (b * u_batch + k * u_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    B += (b * B_batch + k * B_head) * UNIT
    C += (b * C_batch + k * C_head) * UNIT
    y += (b * length * heads + k) * D
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    for t0 in range(start, stop, T):
        if SAVE > 0:
            if t0 % SAVE == 0:
                saved = (b * heads + k) * tl.cdiv(length, SAVE) + t0 // SAVE
                tl.store(states + saved * D * N + cell, h, mask=cell_kept)
        j = tl.arange(0, T)
        p, keep, step, _ = _steps(
            order + k * length, delta, delta_row, t0 + j, stop, d, D, UNIT
        )
        value = tl.load(u + (p * u_row)[None, :] * UNIT + d[:, None], mask=keep, other=0.0)
        inside = t0 + j < stop
        decay = tl.exp2(step[:, :, None] * rate[:, None, :])
        add = (step * value)[:, :, None] * _by_state(B, p, B_row, inside, n, N, BD, UNIT)
        add = tl.where((j == 0)[None, :, None], add + decay * h[:, None, :], add)
        _, hs = tl.associative_scan((decay, add), 1, _affine)
        out = tl.sum(hs * _by_state(C, p, C_row, inside, n, N, BD, UNIT), 2) + through * value
        tl.store(y + (p * heads)[None, :] * D + d[:, None], out, mask=keep)
        h = tl.sum(tl.where((j == T - 1)[None, :, None], hs, 0.0), 1)


@triton.jit
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
    BLOCKS: tl.constexpr = (D + BD - 1) // BD
    c = tl.program_id(0)
    k = (tl.program_id(1) // BLOCKS).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    block = tl.program_id(1) % BLOCKS
    d = block * BD + tl.arange(0, BD)
    n = tl.arange(0, PN)
    cell = d[:, None] * N + n[None, :]
    cell_kept = (d < D)[:, None] & (n < N)[None, :]
    A_head = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0)
    through = tl.load(skip + k * D + d, mask=d < D, other=0.0)[:, None]
    at = ((b * heads + k) * tl.cdiv(length, chunk) + c) * D * N
    message = tl.load(messages + at + cell, mask=cell_kept, other=0.0)
    states += (b * heads + k) * tl.cdiv(length, T) * D * N
    u += (b * u_batch + k * u_head) * UNIT
    delta += (b * delta_batch + k * delta_head) * UNIT
    B += (b * B_batch + k * B_head) * UNIT
    C += (b * C_batch + k * C_head) * UNIT
    by_channel = (b * length * heads + k) * D
    by_state = ((block * batch + b) * length * heads + k) * N
    sum_A = tl.zeros((BD, PN), tl.float32)
    sum_skip = tl.zeros((BD,), tl.float32)
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    tiles = tl.cdiv(stop - start, T)
    for i in range(tiles):
        t0 = start + (tiles - 1 - i) * T
        j = tl.arange(0, T)
        inside = t0 + j < stop
        p, keep, step, slope = _steps(
            order + k * length, delta, delta_row, t0 + j, stop, d, D, UNIT
        )
        value = tl.load(u + (p * u_row)[None, :] * UNIT + d[:, None], mask=keep, other=0.0)
        to_channel = by_channel + (p * heads)[None, :] * D + d[:, None]
        g = tl.load(grad_y + to_channel, mask=keep, other=0.0)
        into = _by_state(B, p, B_row, inside, n, N, BD, UNIT)
        out_of = _by_state(C, p, C_row, inside, n, N, BD, UNIT)
        h = tl.load(states + (t0 // T).to(tl.int64) * D * N + cell, mask=cell_kept, other=0.0)

        decay = tl.exp2(step[:, :, None] * (A_head * LOG2_E)[:, None, :])
        add = (step * value)[:, :, None] * into
        first = (j == 0)[None, :, None]
        last = (j == T - 1)[None, :, None]
        _, hs = tl.associative_scan(
            (decay, tl.where(first, add + decay * h[:, None, :], add)), 1, _affine
        )
        arrives = g[:, :, None] * out_of + tl.where(last, message[:, None, :], 0.0)
        _, sent, _, adjoint = tl.associative_scan(
            (decay, decay * arrives, tl.full(decay.shape, 1.0, tl.float32), arrives),
            1, _adjoint, reverse=True,
        )  # fmt: skip
        message = tl.sum(tl.where(first, sent, 0.0), 1)

        to_state = by_state + (p * heads)[:, None] * N + n[None, :]
        state_kept = inside[:, None] & (n < N)[None, :]
        tl.store(grad_C + to_state, tl.sum(g[:, :, None] * hs, 0), mask=state_kept)
        tl.store(grad_B + to_state, tl.sum(adjoint * (step * value)[:, :, None], 0),
                 mask=state_kept)  # fmt: skip
        # hs - add is decay times the state before, without shifting the tile by a step.
        exponent = adjoint * (hs - add)
        sum_A += tl.sum(exponent * step[:, :, None], 1)
        through_B = tl.sum(adjoint * into, 2)
        through_A = tl.sum(exponent * A_head[:, None, :], 2)
        tl.store(grad_u + to_channel, step * through_B + through * g, mask=keep)
        tl.store(grad_delta + to_channel, (through_A + value * through_B) * slope, mask=keep)
        sum_skip += tl.sum(g * value, 1)
    part = ((b * tl.cdiv(length, chunk) + c) * heads + k) * D
    tl.store(grad_A + part * N + cell, sum_A, mask=cell_kept)
    tl.store(grad_skip + part + d, sum_skip, mask=d < D)
