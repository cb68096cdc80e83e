# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""What the Triton kernels of the selective scan do with one tile of T steps.

A tile is (BD, T, PN): channels, steps, states, padded to powers of two. The steps lie in
the registers of one thread, channels and states across the threads; so the recurrence
over the steps is a plain chain of multiply-adds, without a word between threads. This
order of the axes, with the steps in the middle, matters for speed, not for the result.
``*_row``, ``*_head``, ``*_batch`` are strides in units of UNIT elements, from which the
compiler learns how rows are aligned.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def place(D: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, PN: tl.constexpr):
    """Batch element, head, block, channels, states, (channel, state) cells of this program."""
    blocks: tl.constexpr = (D + BD - 1) // BD
    b = tl.program_id(2).to(tl.int64)
    k = (tl.program_id(1) // blocks).to(tl.int64)
    block = (tl.program_id(1) % blocks).to(tl.int64)
    d = (tl.program_id(1) % blocks) * BD + tl.arange(0, BD)
    n = tl.arange(0, PN)
    cell = d[:, None] * N + n[None, :]
    cell_kept = (d < D)[:, None] & (n < N)[None, :]
    return b, k, block, d, n, cell, cell_kept


@triton.jit
def parameters(A, skip, k, d, cell, cell_kept, D: tl.constexpr, N: tl.constexpr):
    """Load A (BD, PN) and the skip weights (BD, 1) of head k."""
    A_head = tl.load(A + k * D * N + cell, mask=cell_kept, other=0.0)
    return A_head, tl.load(skip + k * D + d, mask=d < D, other=0.0)[:, None]


@triton.jit
def span(c, chunk, length, T: tl.constexpr):
    """First step of chunk c, the step after its last, and its number of tiles."""
    start = c * chunk
    stop = tl.minimum(start + chunk, length)
    return start, stop, tl.cdiv(stop - start, T)


@triton.jit
def of_head(b, k, x, x_batch, x_head, y, y_batch, y_head, UNIT: tl.constexpr):
    """Advance two pointers to head k of batch element b."""
    x += (b * x_batch + k * x_head) * UNIT
    y += (b * y_batch + k * y_head) * UNIT
    return x, y


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
    """Load what the steps t of a tile need, (T,), (BD, T) or (BD, T, PN).

    Returns their positions and which exist, where to load by channel, Δ and its slope, u,
    the decays and B. Δ is 0 past the end and in padded channels: the state then passes
    unchanged. ``head`` is the order, u, Δ, B with their strides, A in units of log2, and the
    indices of channels and states.
    """
    order, u, u_row, delta, delta_row, B, B_row, rate, d, n = head
    inside = t < stop
    p = tl.load(order + t, mask=inside, other=0).to(tl.int64)
    keep = (d < D)[:, None] & inside[None, :]
    step, slope = _softplus(by_channel(delta, p, delta_row, d, keep, UNIT))
    step = tl.where(keep, step, 0.0)
    value = by_channel(u, p, u_row, d, keep, UNIT)
    decay = tl.exp2(step[:, :, None] * rate[:, None, :])
    into = by_state(B, p, B_row, inside, n, N, d.shape[0], UNIT)
    return p, inside, keep, step, slope, value, decay, into


@triton.jit
def by_channel(pointer, p, row, d, keep, UNIT: tl.constexpr):
    """Rows p of u, delta or the gradient of y: (BD, T)."""
    return tl.load(pointer + (p * row)[None, :] * UNIT + d[:, None], mask=keep, other=0.0)


@triton.jit
def by_state(pointer, p, row, inside, n, N: tl.constexpr, BD: tl.constexpr, UNIT: tl.constexpr):
    """Rows p of B or C, for every channel: (BD, T, PN).

    Broadcast before the load, not after: every thread then reads the states it works on
    (from the cache, in one wide load), and the layout of the whole tile follows from it.
    The compiler lays the axes across the threads by their contiguity; the hint puts the
    channels before the steps. They are not contiguous, but states, more contiguous still,
    are what a load is widened by. Adding zero by channel keeps the hint from being lost.
    """
    shape: tl.constexpr = (BD, p.shape[0], n.shape[0])
    zero = (tl.arange(0, BD) >> 16) * 16
    offset = (p * row)[None, :, None] * UNIT + n[None, None, :] + zero[:, None, None]
    keep = tl.broadcast_to(inside[None, :, None] & (n < N)[None, None, :], shape)
    if n.shape[0] > 2:
        offset = tl.max_contiguous(offset, (2, 1, n.shape[0]))
    return tl.load(pointer + offset, mask=keep, other=0.0)


@triton.jit
def put_by_channel(pointer_1, x_1, pointer_2, x_2, row, d, keep, D: tl.constexpr):
    """Store two (BD, T) to contiguous rows of D."""
    offset = row[None, :] * D + d[:, None]
    tl.store(pointer_1 + offset, x_1, mask=keep)
    tl.store(pointer_2 + offset, x_2, mask=keep)


@triton.jit
def put_by_state(pointer_1, x_1, pointer_2, x_2, row, inside, n, N: tl.constexpr):
    """Store two (T, PN) to contiguous rows of N."""
    offset = row[:, None] * N + n[None, :]
    keep = inside[:, None] & (n < N)[None, :]
    tl.store(pointer_1 + offset, x_1, mask=keep)
    tl.store(pointer_2 + offset, x_2, mask=keep)


@triton.jit
def _add_both(x_1, y_1, x_2, y_2):
    return x_1 + x_2, y_1 + y_2


@triton.jit
def _pick(x, y, chosen):
    """Pick the step of two (BD, T, PN) tiles where ``chosen`` is true: (BD, PN) each.

    As sums of integers, because the compiler drops additions of integer zeros: the steps
    of a tile are registers of one thread, and picking one costs nothing. Both tiles at
    once, because that gives them one layout.
    """
    chosen = chosen[None, :, None]
    x = tl.where(chosen, x.to(tl.int32, bitcast=True), 0)
    y = tl.where(chosen, y.to(tl.int32, bitcast=True), 0)
    x, y = tl.reduce((x, y), 1, _add_both)
    return x.to(tl.float32, bitcast=True), y.to(tl.float32, bitcast=True)


@triton.jit
def put(tile, x, chosen):
    """Replace the step of a (BD, T, PN) tile where ``chosen`` is true by x (BD, PN)."""
    return tl.where(chosen[None, :, None], x[:, None, :], tile)


@triton.jit
def take(tile, step):
    """Return one step of a (BD, T, PN) tile: (BD, PN)."""
    x, _ = _pick(tile, tile, tl.arange(0, tile.shape[1]) == step)
    return x


@triton.jit
def run_states(h, decay, add, j, T: tl.constexpr):
    """Run h <- decay h + add over a tile: the last state, all states, all decay h."""
    states = add
    kept = add
    for i in tl.static_range(T):
        a, x = _pick(decay, add, j == i)
        rest = a * h
        h = rest + x
        states = put(states, h, j == i)
        kept = put(kept, rest, j == i)
    return h, states, kept


@triton.jit
def tile_starts(
    head, h, t0, stop, j,
    D: tl.constexpr, N: tl.constexpr, UNIT: tl.constexpr, T: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """Return the state before each of TILES tiles (BD, TILES, PN), given that before the first."""
    i = tl.arange(0, TILES)
    starts = tl.zeros((h.shape[0], TILES, h.shape[1]), tl.float32)
    for tile in range(TILES - 1):
        starts = put(starts, h, i == tile)
        _p, _inside, _keep, step, _slope, value, decay, into = load_tile(
            head, t0 + tile * T + j, stop, D, N, UNIT
        )
        h, _, _ = run_states(h, decay, (step * value)[:, :, None] * into, j, T)
    return put(starts, h, i == TILES - 1)


@triton.jit
def run_adjoints(message, decay, add, j, T: tl.constexpr):
    """Run the adjoint recurrence over a tile from its end.

    A step's adjoint is what it adds itself plus the message from the step after it; it
    sends decay times that on. Return the message out of the first step and all adjoints.
    """
    adjoints = add
    for i in tl.static_range(T - 1, -1, -1):
        a, x = _pick(decay, add, j == i)
        message += x
        adjoints = put(adjoints, message, j == i)
        message *= a
    return message, adjoints


@triton.jit
def differentiate(
    h, message, step, slope, value, decay, into, g, out_of, A, skip, j, T: tl.constexpr
):
    """Gradients of one tile, given the state before it and the message into it.

    Returns the message out of it, and the gradients of A (BD, PN), of B and C (T, PN), of u
    and delta (BD, T). ``value`` is u, ``g`` the gradient of y, ``into`` and ``out_of`` are
    B and C.
    """
    added = (step * value)[:, :, None]
    _, states, kept = run_states(h, decay, added * into, j, T)
    message, adjoint = run_adjoints(message, decay, g[:, :, None] * out_of, j, T)
    grad_C = tl.sum(g[:, :, None] * states, 0)
    grad_B = tl.sum(adjoint * added, 0)
    exponent = adjoint * kept
    grad_A = tl.sum(exponent * step[:, :, None], 1)
    grad_added = tl.sum(adjoint * into, 2)
    grad_step = tl.sum(exponent * A[:, None, :], 2) + value * grad_added
    return message, grad_A, grad_B, grad_C, step * grad_added + skip * g, grad_step * slope
