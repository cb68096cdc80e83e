# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Triton kernels of the selective scan; `eamamba.selective_scan.triton` launches them.

The sequence is cut into chunks, so that one image fills a large GPU:

1. ``chunk_ends``: every chunk independently, from a zero state to its last state;
2. ``combine_chunks``: those few states one by one, to each chunk's first state;
3. ``forward_chunks``: every chunk again from its first state, writing the output;
   or ``backward_chunks``, where 1 and 2 ran from the end with the adjoint state.

A program takes BLOCK_D channels of one head through one chunk, in tiles of T steps. No
decay is ever divided by: it underflows for long steps.

The glossary of `eamamba.selective_scan.triton.tiles` applies here too. Tensors in memory,
all float32 except ``order``:

=====================  ==============================  =====================================
symbol                 shape                           meaning
=====================  ==============================  =====================================
u, delta               (batch, L, K, D)                input, step size before the softplus
B, C                   (batch, L, K, N)                projections of every pixel
A                      (K, D, N)                       decay rates
D_s                    (K, D)                          skip weights (the operator's ``D``)
order                  (K, L), int32                   pixel that head k visits at step t
y, grad_y              (batch, L, K, D)                output and its gradient
grad_u, grad_delta     (batch, L, K, D)                gradients
grad_B, grad_C         (blocks, batch, L, K, N)        gradients, a part per channel block
grad_A                 (batch, K, chunks, D, N)        gradient, a part per chunk
grad_D_s               (batch, K, chunks, D)           gradient, a part per chunk
end_states             (batch, K, chunks, D, N)        state after a chunk, from a zero state
Delta_sums             (batch, K, chunks, D)           sum of Δ_t over a chunk
start_states           (batch, K, chunks, D, N)        state before a chunk
messages               (batch, K, chunks, D, N)        message into a chunk from the next one
saved_states           (batch, K, ⌈L / SAVE⌉, D, N)    state before every SAVE-th step
chunk_steps, chunks    ()                              steps of a chunk, number of chunks
=====================  ==============================  =====================================

Those with strides in the signature may have any; the others are contiguous.
"""

from __future__ import annotations

import triton
import triton.language as tl

from eamamba.selective_scan.triton.tiles import (
    LOG2_E,
    Head,
    at_head,
    chunk_range,
    differentiate,
    load_by_channel,
    load_by_state,
    load_parameters,
    load_tile,
    pick_step,
    run_adjoints,
    run_states,
    states_before_tiles,
    store_by_channel,
    store_by_state,
    this_program,
)

# Compiled once for all image sizes: specialising on these numbers gains nothing.
SIZES = ["L", "chunk_steps", "chunks", "K", "batch"]
STRIDED = ("u", "delta", "B", "C", "u_or_grad_y", "B_or_C")
STRIDES = [f"{X}_stride_{axis}" for X in STRIDED for axis in "blk"]


@triton.jit(do_not_specialize=SIZES + STRIDES)
def chunk_ends(
    u_or_grad_y, u_or_grad_y_stride_b, u_or_grad_y_stride_l, u_or_grad_y_stride_k,
    delta, delta_stride_b, delta_stride_l, delta_stride_k,
    B_or_C, B_or_C_stride_b, B_or_C_stride_l, B_or_C_stride_k,
    A, order,
    end_states, Delta_sums,
    L, chunk_steps, K,
    D: tl.constexpr, N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
    T: tl.constexpr, UNIT: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Last state of each chunk from a zero state, and the sum of Δ over the chunk.

    Takes u and B. With REVERSE it takes the gradient of y and C, and the state is the
    message that the adjoint recurrence sends out of the chunk's first step.
    """
    chunk = tl.program_id(0) + (1 if REVERSE else 0)
    program = this_program(D, N, BLOCK_D, BLOCK_N)
    b, k, d, cell = program.b, program.k, program.d, program.cell
    A_log2 = tl.load(A + k * D * N + cell, mask=program.cell_exists, other=0.0) * LOG2_E
    u_or_grad_y = at_head(program, u_or_grad_y, u_or_grad_y_stride_b, u_or_grad_y_stride_k, UNIT)
    B_or_C = at_head(program, B_or_C, B_or_C_stride_b, B_or_C_stride_k, UNIT)
    delta = at_head(program, delta, delta_stride_b, delta_stride_k, UNIT)
    h = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    Delta_sum = tl.zeros((BLOCK_D, T), tl.float32)
    start, stop, tiles = chunk_range(chunk, chunk_steps, L, T)
    j = tl.arange(0, T)
    head = Head(
        order=order + k * L,
        u=u_or_grad_y,
        u_stride_l=u_or_grad_y_stride_l,
        delta=delta,
        delta_stride_l=delta_stride_l,
        B=B_or_C,
        B_stride_l=B_or_C_stride_l,
        A_log2=A_log2,
        d=d,
        n=program.n,
    )
    for tile in range(tiles):
        t = start + (tiles - 1 - tile if REVERSE else tile) * T + j
        inputs = load_tile(head, t, stop, D, N, UNIT)
        Delta_sum += inputs.Delta_t
        if REVERSE:
            # of these inputs, u_t is the gradient of y_t and B_t is C_t
            h, _grad_h_t = run_adjoints(
                h, inputs.decay_t, inputs.u_t[:, :, None] * inputs.B_t, j, T
            )
        else:
            Delta_u_t = (inputs.Delta_t * inputs.u_t)[:, :, None]
            h, _h_t, _decayed_t = run_states(h, inputs.decay_t, Delta_u_t * inputs.B_t, j, T)
    row = ((b * K + k) * tl.cdiv(L, chunk_steps) + chunk) * D
    tl.store(end_states + row * N + cell, h, mask=program.cell_exists)
    tl.store(Delta_sums + row + d, tl.sum(Delta_sum, 1), mask=d < D)


@triton.jit
def _compose(decay_1, added_1, decay_2, added_2):
    """Compose h -> decay_1 h + added_1 with the later h -> decay_2 h + added_2."""
    return decay_1 * decay_2, decay_2 * added_1 + added_2


@triton.jit(do_not_specialize=SIZES + STRIDES)
def combine_chunks(
    A, end_states, Delta_sums, start_states, chunks, K,
    D: tl.constexpr, N: tl.constexpr, BLOCK_N: tl.constexpr,
    T: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """First state of every chunk from the last states of those before it.

    With REVERSE the chunks are combined from the last to the first.
    One program per batch element, head and channel; T chunks at a time.
    """
    b_k = tl.program_id(0).to(tl.int64)  # b K + k
    d = tl.program_id(1)
    n = tl.arange(0, BLOCK_N)
    A_log2 = tl.load(A + ((b_k % K) * D + d) * N + n, mask=n < N, other=0.0) * LOG2_E
    direction = -1 if REVERSE else 1
    first = chunks - 1 if REVERSE else 0
    h = tl.zeros((BLOCK_N,), tl.float32)
    tl.store(start_states + ((b_k * chunks + first) * D + d) * N + n, h, mask=n < N)
    for i in range(0, chunks - 1, T):
        step = i + tl.arange(0, T)  # from chunk to chunk
        exists = step < chunks - 1
        row = (b_k * chunks + first + step * direction) * D + d
        state_exists = exists[:, None] & (n < N)[None, :]
        Delta_sum = tl.load(Delta_sums + row, mask=exists, other=0.0)
        end = tl.load(end_states + row[:, None] * N + n[None, :], mask=state_exists, other=0.0)
        decay = tl.exp2(Delta_sum[:, None] * A_log2[None, :])
        end += tl.where((step == i)[:, None], decay * h[None, :], 0.0)
        _, states = tl.associative_scan((decay, end), 0, _compose)
        next_row = row + direction * D
        tl.store(start_states + next_row[:, None] * N + n[None, :], states, mask=state_exists)
        h = tl.sum(tl.where((step == i + T - 1)[:, None], states, 0.0), 0)


@triton.jit(do_not_specialize=SIZES + STRIDES)
def forward_chunks(
    u, u_stride_b, u_stride_l, u_stride_k,
    delta, delta_stride_b, delta_stride_l, delta_stride_k,
    B, B_stride_b, B_stride_l, B_stride_k,
    C, C_stride_b, C_stride_l, C_stride_k,
    A, D_s, order, start_states,
    y, saved_states,
    L, chunk_steps, K,
    D: tl.constexpr, N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
    T: tl.constexpr, UNIT: tl.constexpr, SAVE: tl.constexpr,
):  # fmt: skip
    """Output of every chunk; with SAVE > 0 also the state before every SAVE-th step."""
    program = this_program(D, N, BLOCK_D, BLOCK_N)
    b, k, d, n, cell = program.b, program.k, program.d, program.n, program.cell
    A_head, D_s_head = load_parameters(A, D_s, program, D, N)
    A_log2 = A_head * LOG2_E
    chunk = tl.program_id(0)
    row = ((b * K + k) * tl.cdiv(L, chunk_steps) + chunk) * D * N
    h = tl.load(start_states + row + cell, mask=program.cell_exists, other=0.0)
    u = at_head(program, u, u_stride_b, u_stride_k, UNIT)
    delta = at_head(program, delta, delta_stride_b, delta_stride_k, UNIT)
    B = at_head(program, B, B_stride_b, B_stride_k, UNIT)
    C = at_head(program, C, C_stride_b, C_stride_k, UNIT)
    y += (b * L * K + k) * D
    start, stop, _tiles = chunk_range(chunk, chunk_steps, L, T)
    j = tl.arange(0, T)
    head = Head(
        order=order + k * L,
        u=u,
        u_stride_l=u_stride_l,
        delta=delta,
        delta_stride_l=delta_stride_l,
        B=B,
        B_stride_l=B_stride_l,
        A_log2=A_log2,
        d=d,
        n=n,
    )
    for t in range(start, stop, T):
        if SAVE > 0:
            if t % SAVE == 0:
                saved = (b * K + k) * tl.cdiv(L, SAVE) + t // SAVE
                tl.store(saved_states + saved * D * N + cell, h, mask=program.cell_exists)
        inputs = load_tile(head, t + j, stop, D, N, UNIT)
        Delta_u_t = (inputs.Delta_t * inputs.u_t)[:, :, None]
        h, h_t, _decayed_t = run_states(h, inputs.decay_t, Delta_u_t * inputs.B_t, j, T)
        C_t = load_by_state(C, inputs.p, C_stride_l, inputs.exists, n, N, BLOCK_D, UNIT)
        y_t = tl.sum(h_t * C_t, 2)
        y_t += D_s_head * inputs.u_t
        tl.store(y + (inputs.p * K)[None, :] * D + d[:, None], y_t, mask=inputs.channel_exists)


@triton.jit(do_not_specialize=SIZES + STRIDES)
def backward_chunks(
    u, u_stride_b, u_stride_l, u_stride_k,
    delta, delta_stride_b, delta_stride_l, delta_stride_k,
    B, B_stride_b, B_stride_l, B_stride_k,
    C, C_stride_b, C_stride_l, C_stride_k,
    A, D_s, order, messages, saved_states, grad_y,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D_s,
    L, chunk_steps, K, batch,
    UNIT: tl.constexpr, SAVE: tl.constexpr,
    D: tl.constexpr, N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
    T: tl.constexpr,
):  # fmt: skip
    """All gradients of every chunk, from its end: SAVE steps at a time, divided into tiles.

    The states within SAVE steps are recomputed from the saved one before them. The
    caller adds up the parts of the gradients of A, B, C and D_s.
    """
    program = this_program(D, N, BLOCK_D, BLOCK_N)
    b, k, d, n, cell = program.b, program.k, program.d, program.n, program.cell
    A_head, D_s_head = load_parameters(A, D_s, program, D, N)
    chunk = tl.program_id(0)
    start, stop, groups = chunk_range(chunk, chunk_steps, L, SAVE)
    chunk_row = ((b * K + k) * tl.cdiv(L, chunk_steps) + chunk) * D
    message = tl.load(messages + chunk_row * N + cell, mask=program.cell_exists, other=0.0)
    saved_states += (b * K + k) * tl.cdiv(L, SAVE) * D * N
    u = at_head(program, u, u_stride_b, u_stride_k, UNIT)
    delta = at_head(program, delta, delta_stride_b, delta_stride_k, UNIT)
    B = at_head(program, B, B_stride_b, B_stride_k, UNIT)
    C = at_head(program, C, C_stride_b, C_stride_k, UNIT)
    row = b * L * K + k  # of pixel 0; pixel p is p K rows on
    block_row = row + program.block * batch * L * K
    grad_A_sum = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    grad_D_s_sum = tl.zeros((BLOCK_D, T), tl.float32)
    j = tl.arange(0, T)
    head = Head(
        order=order + k * L,
        u=u,
        u_stride_l=u_stride_l,
        delta=delta,
        delta_stride_l=delta_stride_l,
        B=B,
        B_stride_l=B_stride_l,
        A_log2=A_head * LOG2_E,
        d=d,
        n=n,
    )
    for later_groups in range(groups):
        group_start = start + (groups - 1 - later_groups) * SAVE
        saved = saved_states + (group_start // SAVE).to(tl.int64) * D * N
        h = tl.load(saved + cell, mask=program.cell_exists, other=0.0)
        tile_states = states_before_tiles(head, h, group_start, stop, j, D, N, UNIT, T, SAVE // T)
        for later_tiles in range(SAVE // T):
            tile = SAVE // T - 1 - later_tiles
            h = pick_step(tile_states, tile)
            inputs = load_tile(head, group_start + tile * T + j, stop, D, N, UNIT)
            grad_y_t = load_by_channel(
                grad_y + row * D, inputs.p, K * D, d, inputs.channel_exists, 1
            )
            C_t = load_by_state(C, inputs.p, C_stride_l, inputs.exists, n, N, BLOCK_D, UNIT)
            grad = differentiate(h, message, inputs, C_t, grad_y_t, A_head, D_s_head, j, T)
            message = grad.message
            grad_A_sum += grad.A
            grad_D_s_sum += grad_y_t * inputs.u_t
            rows = row + inputs.p * K
            store_by_channel(
                grad_u, grad.u, grad_delta, grad.delta, rows, d, inputs.channel_exists, D
            )
            rows = block_row + inputs.p * K
            store_by_state(grad_B, grad.B, grad_C, grad.C, rows, inputs.exists, n, N)
    tl.store(grad_A + chunk_row * N + cell, grad_A_sum, mask=program.cell_exists)
    tl.store(grad_D_s + chunk_row + d, tl.sum(grad_D_s_sum, 1), mask=d < D)
