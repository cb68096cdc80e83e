# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Operations of the Triton kernels of the selective scan on one tile of T steps.

For the T steps t of a tile, with p = order[k, t]::

    Δ_t = softplus(delta[b, p, k])
    h_t = exp(Δ_t A[k]) h_{t-1} + Δ_t B_t u_t
    y_t = C_t h_t + D_s[k] u_t

A tile is (BLOCK_D, T, BLOCK_N): channels, steps, states. The steps are in the registers of one
thread, channels and states across the threads, so the recurrence over the steps is a plain chain of
multiply-adds and no thread waits for another. This order of the axes, with the steps in the middle,
matters for speed, not for the result.

==================  ======================  ==============================================
symbol              shape                   meaning
==================  ======================  ==============================================
b, k                ()                      batch element and head of this program
L, K                ()                      pixels of an image, heads
D, N                ()                      channels and states of a head
BLOCK_D, BLOCK_N    ()                      the same of a program, padded to powers of 2
T                   ()                      steps of a tile, a power of 2
d, n                (BLOCK_D,), (BLOCK_N,)  indices of the program's channels and states
j                   (T,)                    0 … T - 1, to pick a step of a tile
t, p                (T,)                    steps of the tile and the pixels visited there
u_t, Delta_t        (BLOCK_D, T)            input; step size Δ, after the softplus
slope_t             (BLOCK_D, T)            derivative of Δ with respect to delta
y_t, grad_y_t       (BLOCK_D, T)            output and its gradient
B_t, C_t            (BLOCK_D, T, BLOCK_N)   projections, the same for every channel
decay_t             (BLOCK_D, T, BLOCK_N)   exp(Δ_t A)
h                   (BLOCK_D, BLOCK_N)      state after the last step that was run
message             (BLOCK_D, BLOCK_N)      gradient that later steps send back to that state
A                   (BLOCK_D, BLOCK_N)      decay rates of the head
A_log2              (BLOCK_D, BLOCK_N)      A / ln 2, so that exp(Δ A) = 2^(Δ A_log2)
D_s                 (BLOCK_D, 1)            skip weights of the head
X_stride_b, _l, _k  ()                      strides of X (batch, L, K, D or N) over batch
                                            elements, pixels and heads, in units of UNIT
                                            numbers: from UNIT the compiler learns how
                                            rows are aligned
==================  ======================  ==============================================

Names of whole tensors (``u``, ``order``, …) are pointers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


class Program(NamedTuple):
    """The part of the work that one program does."""

    b: Any
    k: Any
    block: Any  # of channels, within the head
    d: Any
    n: Any
    cell: Any  # (BLOCK_D, BLOCK_N): index of (d, n) in a (D, N) matrix
    cell_exists: Any  # (BLOCK_D, BLOCK_N): false where padded


class Head(NamedTuple):
    """The data that a program reads at each step, advanced to its batch element and head."""

    order: Any  # (L,)
    u: Any
    u_stride_l: Any
    delta: Any
    delta_stride_l: Any
    B: Any
    B_stride_l: Any
    A_log2: Any
    d: Any
    n: Any


class TileInputs(NamedTuple):
    """The inputs of the steps of a tile.

    Δ is 0 past the end and in padded channels: the state then stays unchanged.
    """

    p: Any
    exists: Any  # (T,): false past the end of the chunk
    channel_exists: Any  # (BLOCK_D, T): false there and in padded channels
    u_t: Any
    Delta_t: Any
    slope_t: Any
    B_t: Any
    decay_t: Any


class TileGradients(NamedTuple):
    """Gradients of one tile, and the message to the step before it."""

    message: Any
    A: Any  # (BLOCK_D, BLOCK_N)
    B: Any  # (T, BLOCK_N), summed over the program's channels
    C: Any  # (T, BLOCK_N), likewise
    u: Any  # (BLOCK_D, T)
    delta: Any  # (BLOCK_D, T)


@triton.jit
def this_program(D: tl.constexpr, N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """Return the batch element, head and block of channels that this program works on."""
    blocks: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D
    b = tl.program_id(2).to(tl.int64)
    k = (tl.program_id(1) // blocks).to(tl.int64)
    block = (tl.program_id(1) % blocks).to(tl.int64)
    d = (tl.program_id(1) % blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    cell = d[:, None] * N + n[None, :]
    cell_exists = (d < D)[:, None] & (n < N)[None, :]
    return Program(b, k, block, d, n, cell, cell_exists)


@triton.jit
def load_parameters(A, D_s, program, D: tl.constexpr, N: tl.constexpr):
    """Load A (BLOCK_D, BLOCK_N) and the skip weights D_s (BLOCK_D, 1) of the head."""
    k, d = program.k, program.d
    A_head = tl.load(A + k * D * N + program.cell, mask=program.cell_exists, other=0.0)
    D_s_head = tl.load(D_s + k * D + d, mask=d < D, other=0.0)
    return A_head, D_s_head[:, None]


@triton.jit
def chunk_range(chunk, chunk_steps, L, T: tl.constexpr):
    """Return the first step of a chunk, the step after its last, and its number of tiles."""
    start = chunk * chunk_steps
    stop = tl.minimum(start + chunk_steps, L)
    return start, stop, tl.cdiv(stop - start, T)


@triton.jit
def at_head(program, X, X_stride_b, X_stride_k, UNIT: tl.constexpr):
    """Advance the pointer to X (batch, L, K, D or N) to X[b, 0, k]."""
    return X + (program.b * X_stride_b + program.k * X_stride_k) * UNIT


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
def load_tile(head, t, stop, D: tl.constexpr, N: tl.constexpr, UNIT: tl.constexpr):
    """Load the inputs of the steps t (T,) of a tile, and compute Δ and the decays."""
    exists = t < stop
    p = tl.load(head.order + t, mask=exists, other=0).to(tl.int64)
    channel_exists = (head.d < D)[:, None] & exists[None, :]
    delta_t = load_by_channel(head.delta, p, head.delta_stride_l, head.d, channel_exists, UNIT)
    Delta_t, slope_t = _softplus(delta_t)
    Delta_t = tl.where(channel_exists, Delta_t, 0.0)
    u_t = load_by_channel(head.u, p, head.u_stride_l, head.d, channel_exists, UNIT)
    decay_t = tl.exp2(Delta_t[:, :, None] * head.A_log2[:, None, :])
    B_t = load_by_state(head.B, p, head.B_stride_l, exists, head.n, N, head.d.shape[0], UNIT)
    return TileInputs(p, exists, channel_exists, u_t, Delta_t, slope_t, B_t, decay_t)


@triton.jit
def load_by_channel(X, p, X_stride_l, d, channel_exists, UNIT: tl.constexpr):
    """Load pixels p of u, delta or the gradient of y: (BLOCK_D, T)."""
    pixels = X + (p * X_stride_l)[None, :] * UNIT
    return tl.load(pixels + d[:, None], mask=channel_exists, other=0.0)


@triton.jit
def load_by_state(
    X, p, X_stride_l, exists, n, N: tl.constexpr, BLOCK_D: tl.constexpr, UNIT: tl.constexpr
):
    """Load pixels p of B or C, for every channel: (BLOCK_D, T, BLOCK_N).

    Broadcast before the load, not after: every thread then reads the states that it works on (from
    the cache, in one wide load), and this determines the layout of the tile. The compiler lays the
    axes across the threads by their contiguity; the hint puts the channels before the steps. They
    are not contiguous, but states, more contiguous still, are what a load is widened by. Adding
    zero by channel keeps the hint from being lost.
    """
    shape: tl.constexpr = (BLOCK_D, p.shape[0], n.shape[0])
    zero = (tl.arange(0, BLOCK_D) >> 16) * 16
    offset = (p * X_stride_l)[None, :, None] * UNIT + n[None, None, :] + zero[:, None, None]
    state_exists = tl.broadcast_to(exists[None, :, None] & (n < N)[None, None, :], shape)
    if n.shape[0] > 2:
        offset = tl.max_contiguous(offset, (2, 1, n.shape[0]))
    return tl.load(X + offset, mask=state_exists, other=0.0)


@triton.jit
def store_by_channel(X_1, x_1, X_2, x_2, row, d, channel_exists, D: tl.constexpr):
    """Store two (BLOCK_D, T) to consecutive rows of D numbers."""
    offset = row[None, :] * D + d[:, None]
    tl.store(X_1 + offset, x_1, mask=channel_exists)
    tl.store(X_2 + offset, x_2, mask=channel_exists)


@triton.jit
def store_by_state(X_1, x_1, X_2, x_2, row, exists, n, N: tl.constexpr):
    """Store two (T, BLOCK_N) to consecutive rows of N numbers."""
    offset = row[:, None] * N + n[None, :]
    state_exists = exists[:, None] & (n < N)[None, :]
    tl.store(X_1 + offset, x_1, mask=state_exists)
    tl.store(X_2 + offset, x_2, mask=state_exists)


@triton.jit
def _add_both(x_1, y_1, x_2, y_2):
    return x_1 + x_2, y_1 + y_2


@triton.jit
def _pick_step(x, y, chosen):
    """Pick the step of two tiles where ``chosen`` (T,) is true: (BLOCK_D, BLOCK_N) each.

    As sums of integers, because the compiler drops additions of integer zeros: the steps of a tile
    are registers of one thread, so picking one costs nothing. Both tiles at once, which gives them
    the same layout.
    """
    chosen = chosen[None, :, None]
    x = tl.where(chosen, x.to(tl.int32, bitcast=True), 0)
    y = tl.where(chosen, y.to(tl.int32, bitcast=True), 0)
    x, y = tl.reduce((x, y), 1, _add_both)
    return x.to(tl.float32, bitcast=True), y.to(tl.float32, bitcast=True)


@triton.jit
def replace_step(tile, x, chosen):
    """Replace the step of a tile where ``chosen`` (T,) is true by x (BLOCK_D, BLOCK_N)."""
    return tl.where(chosen[None, :, None], x[:, None, :], tile)


@triton.jit
def pick_step(tile, step):
    """Return one step of a tile: (BLOCK_D, BLOCK_N)."""
    x, _ = _pick_step(tile, tile, tl.arange(0, tile.shape[1]) == step)
    return x


@triton.jit
def run_states(h, decay_t, input_t, j, T: tl.constexpr):
    """Run h_t = decay_t h_{t-1} + input_t over a tile.

    Returns the last state, and for each step h_t and decay_t h_{t-1}.
    """
    h_t = input_t
    decayed_t = input_t
    for i in tl.static_range(T):
        decay, added = _pick_step(decay_t, input_t, j == i)
        decayed = decay * h
        h = decayed + added
        h_t = replace_step(h_t, h, j == i)
        decayed_t = replace_step(decayed_t, decayed, j == i)
    return h, h_t, decayed_t


@triton.jit
def states_before_tiles(
    head, h, start, stop, j, D: tl.constexpr, N: tl.constexpr, UNIT: tl.constexpr,
    T: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """Return the state before each of TILES tiles (BLOCK_D, TILES, BLOCK_N).

    h is the state before the first, which begins at step ``start``.
    """
    i = tl.arange(0, TILES)
    states = tl.zeros((h.shape[0], TILES, h.shape[1]), tl.float32)
    for tile in range(TILES - 1):
        states = replace_step(states, h, i == tile)
        inputs = load_tile(head, start + tile * T + j, stop, D, N, UNIT)
        h, _h_t, _decayed_t = run_states(
            h, inputs.decay_t, (inputs.Delta_t * inputs.u_t)[:, :, None] * inputs.B_t, j, T
        )
    return replace_step(states, h, i == TILES - 1)


@triton.jit
def run_adjoints(message, decay_t, input_t, j, T: tl.constexpr):
    """Run the adjoint recurrence over a tile, from its end.

    The gradient of h_t is the contribution of y_t (``input_t``) plus the message from the next
    step; the step passes on decay_t times that. Returns the message out of the first step, and the
    gradient of every h_t.
    """
    grad_h_t = input_t
    for i in tl.static_range(T - 1, -1, -1):
        decay, added = _pick_step(decay_t, input_t, j == i)
        message += added
        grad_h_t = replace_step(grad_h_t, message, j == i)
        message *= decay
    return message, grad_h_t


@triton.jit
def differentiate(h, message, inputs, C_t, grad_y_t, A, D_s, j, T: tl.constexpr):
    """Return the `TileGradients` of a tile, given the state before it and the message into it.

    ``inputs`` are the `TileInputs`.
    """
    Delta_u_t = (inputs.Delta_t * inputs.u_t)[:, :, None]
    _, h_t, decayed_t = run_states(h, inputs.decay_t, Delta_u_t * inputs.B_t, j, T)
    message, grad_h_t = run_adjoints(message, inputs.decay_t, grad_y_t[:, :, None] * C_t, j, T)
    grad_C = tl.sum(grad_y_t[:, :, None] * h_t, 0)
    grad_B = tl.sum(grad_h_t * Delta_u_t, 0)
    grad_exponent = grad_h_t * decayed_t  # of Δ_t A
    grad_A = tl.sum(grad_exponent * inputs.Delta_t[:, :, None], 1)
    grad_Delta_u = tl.sum(grad_h_t * inputs.B_t, 2)
    grad_Delta = tl.sum(grad_exponent * A[:, None, :], 2) + inputs.u_t * grad_Delta_u
    grad_u = inputs.Delta_t * grad_Delta_u + D_s * grad_y_t
    return TileGradients(message, grad_A, grad_B, grad_C, grad_u, grad_Delta * inputs.slope_t)
