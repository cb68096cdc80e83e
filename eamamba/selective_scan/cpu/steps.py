"""The inner loops of the selective scan on the CPU, emitted as vectors.

They work on the rows of one chunk: row t holds the data of step t of the chunk. The glossary of
`eamamba.selective_scan.cpu.kernels` applies here too; in addition,

==============  ==========  ==========================================================
symbol          lanes       meaning
==============  ==========  ==========================================================
t                           step of the chunk, from 0
j                           vector of the tile, from 0 to J - 1
i                           vector of several rows in one piece, from 0
Δ_t, Δu_t       LANES       Δ and Δ u of c channels, repeated for all states of a vector
B_t[j], C_t[j]  LANES       B and C of the states of vector j, repeated for c channels
decay           LANES       exp(Δ_t A) of vector j
h[j]            LANES       vector j of the state, in a register
grad_h[j]       LANES       likewise of its gradient
slope           LANES       derivative of Δ with respect to delta
==============  ==========  ==========================================================

The pixels of a chunk are moved between images and rows by `gather` and `scatter`:

===============  =================  ====================================================
name             shape              meaning
===============  =================  ====================================================
image            (batch, L, K, X)   tensor in raster order, of X = D channels or N states
row t                               what belongs to step t of a chunk, in a small array
lanes                               numbers copied per step; what X lacks are zeros
column, width                       a row begins at ``column`` and ends before ``width``,
                                    where the next one begins
t                                   step of the chunk, from 0
===============  =================  ====================================================

Numba code builds the named tuples from arrays and integers; emitted code gets them with
`Memory` and `Value` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from eamamba.selective_scan.cpu.simd import (
    LANES,
    Memory,
    Register,
    Value,
    emitted,
    exp2,
    loop,
    partial_then_full,
    softplus_and_sigmoid,
)

LN_2 = float(np.log(2))
Arrays = tuple[Memory, ...]


class Position(NamedTuple):
    """Where a chunk is in an image; its pixels follow from `Visits`."""

    b: Value
    k: Value
    first: Value  # channel or state


class Visits(NamedTuple):
    """The pixels that head k visits in a chunk: order[k, start + t] for t < steps."""

    order: Memory  # (K, L)
    start: Value
    steps: Value


class Upcoming(NamedTuple):
    """The data that the next loops will read or write, to be prefetched."""

    channel_images: Arrays  # (batch, L, K, D)
    channel_position: Position
    state_images: Arrays  # (batch, L, K, N), all N of them
    state_position: Position
    visits: Visits


@emitted
def copy(target: Memory, to: Value | int, source: Memory, start: Value, vectors: Value) -> None:
    """Copy ``vectors * LANES`` numbers."""
    with loop(vectors) as i:
        target.store(i * LANES + to, source.load(i * LANES + start))


@emitted
def clear(rows: Arrays, vectors: Value) -> None:
    """Set the first ``vectors * LANES`` numbers to 0."""
    with loop(vectors) as i:
        for row in rows:
            row.store(i * LANES, row.zeros())


@emitted
def gather(
    lanes: int,
    rows: Arrays,
    column: Value,
    width: Value,
    images: Arrays,
    position: Position,
    visits: Visits,
) -> None:
    """Copy the visited pixels of images to rows, padded with zeros to ``lanes`` numbers."""
    for t, pixel, valid in _pixels(lanes, images, position, visits):
        for row, image in zip(rows, pixel, strict=True):
            row.store(t * width + column, image.load(0, lanes, valid))


@emitted
def scatter(
    lanes: int,
    rows: Arrays,
    column: Value,
    width: Value,
    images: Arrays,
    position: Position,
    visits: Visits,
) -> None:
    """Copy rows to the visited pixels of images, without the padding."""
    for t, pixel, valid in _pixels(lanes, images, position, visits):
        for row, image in zip(rows, pixel, strict=True):
            image.store(0, row.load(t * width + column, lanes), valid)


def _pixels(
    lanes: int, images: Arrays, position: Position, visits: Visits
) -> Iterator[tuple[Value, list[Memory], Value | None]]:
    """Yield t, the pixel visited in each image, and how many numbers that has (None: all)."""
    for valid in partial_then_full(images[0].shape[3] - position.first, lanes):
        with loop(visits.steps) as t:
            pixel = visits.order.at(position.k).scalar(visits.start + t)
            found = [image.at(position.b, pixel, position.k, position.first) for image in images]
            yield t, found, valid


def prefetch(upcoming: Upcoming, t: Value) -> None:
    """Prefetch the pixel that will be visited at step t."""
    channels, states, visits = upcoming.channel_position, upcoming.state_position, upcoming.visits
    pixel = visits.order.at(channels.k).scalar(visits.start + t)
    for image in upcoming.channel_images:
        image.at(channels.b, pixel, channels.k, channels.first).prefetch(0)
    for image in upcoming.state_images:
        row = image.at(states.b, pixel, channels.k)  # often in two cache lines
        row.prefetch(0)
        row.prefetch(image.shape[3] - 1)


class ForwardRows(NamedTuple):
    """Rows of a chunk in the forward pass."""

    Δ: Memory  # (CHUNK, c), delta until `activate`
    Δu: Memory  # (CHUNK, c), u until `activate`
    B: Memory  # (CHUNK, width)
    C: Memory  # (CHUNK, width)
    y: Memory  # (CHUNK, c)


class BackwardRows(NamedTuple):
    """Rows of a chunk in the backward pass."""

    Δ: Memory  # (CHUNK, c), delta until `activate_again`
    Δu: Memory  # (CHUNK, c)
    u: Memory  # (CHUNK, c)
    slope: Memory  # (CHUNK, c)
    B: Memory  # (CHUNK, width)
    C: Memory  # (CHUNK, width)
    grad_y: Memory  # (CHUNK, c)


class GradientRows(NamedTuple):
    """Rows of a chunk's gradients, added up over tiles (and over blocks: B and C)."""

    B: Memory  # (CHUNK, width)
    C: Memory  # (CHUNK, width)
    u: Memory  # (CHUNK, c), of Δ u until `finish_gradients`
    delta: Memory  # (CHUNK, c), of Δ through the decays, divided by ln 2, until then


class Tile(NamedTuple):
    """The position of one tile of states in arrays and in rows."""

    first: Value  # its first number in `A_log2`, `h` and their gradients
    column: Value  # its first state in the rows of B and C
    width: Value  # length of those rows
    steps: Value  # of the chunk


class SavedState(NamedTuple):
    """A tile's state before a chunk, in the buffer that the forward pass filled."""

    states: Memory
    start: Value
    start_before: Value  # where the state before the previous chunk starts


class History(NamedTuple):
    """Decays and states of the forward recurrence in one tile of a chunk."""

    decays: Memory  # (CHUNK, J, LANES)
    states: Memory  # (CHUNK + 1, J, LANES): before each step, and after the last


def _repeat_for_states(rows: Memory, offset: Value, c: int) -> Value:
    """Read c channels, repeated for all states of a vector."""
    return rows.load(offset, c).shuffle([lane % c for lane in range(LANES)])


def _sum_over_states(value: Value, c: int) -> Value:
    """Add up the states of a vector: LANES -> c lanes."""
    lanes = value.lanes
    while lanes > c:
        lanes //= 2
        value = value.shuffle(range(lanes)) + value.shuffle(range(lanes, 2 * lanes))
    return value


class _StateRow:
    """A row of B or C; item j is repeated for the channels of vector j."""

    def __init__(self, rows: Memory, offset: Value, c: int, J: int) -> None:
        self.rows, self.offset, self.c, self.J = rows, offset, c, J
        self.row = rows.load(offset) if c < LANES else None

    def __getitem__(self, j: int) -> Value:
        if self.row is None:
            return self.rows.broadcast(self.offset + j)
        return self.row.shuffle([lane // self.c * self.J + j for lane in range(LANES)])


def _skip_weights(c: int, D: Memory, position: Position) -> Iterator[Value]:
    for valid in partial_then_full(D.shape[1] - position.first, c):
        weights = D.at(position.k, position.first).load(0, c, valid)
        yield weights.shuffle([lane % c for lane in range(LANES)])


def _load_registers(array: Memory, first: Value, J: int) -> list[Register]:
    return [Register(array.load(first + j * LANES)) for j in range(J)]


def _store_registers(array: Memory, first: Value, registers: list[Register]) -> None:
    for j, register in enumerate(registers):
        array.store(first + j * LANES, register.get())


@emitted
def activate(c: int, rows: ForwardRows, D: Memory, position: Position, vectors: Value) -> None:
    """Replace rows of delta by Δ, of u by Δ u, and start y with D u."""
    for D_s in _skip_weights(c, D, position):
        with loop(vectors) as i:
            Δ, _ = softplus_and_sigmoid(rows.Δ.load(i * LANES))
            u = rows.Δu.load(i * LANES)
            rows.Δ.store(i * LANES, Δ)
            rows.Δu.store(i * LANES, Δ * u)
            rows.y.store(i * LANES, D_s * u)


@emitted
def scan_tile(
    c: int, J: int, state: Memory, A_log2: Memory, rows: ForwardRows, tile: Tile, upcoming: Upcoming
) -> None:
    """Run the recurrence over one tile of a chunk and add C h to y.

    With AVX-512 and 16 vectors a step is 265 vector instructions, and only addresses for the
    prefetch are spilled: A and the scalars of B and C are operands in memory, so the states and the
    constants of the exponential just fit the 32 registers.
    """
    h = _load_registers(state, tile.first, J)
    with loop(tile.steps) as t:
        prefetch(upcoming, t)
        Δ_t = _repeat_for_states(rows.Δ, t * c, c)
        Δu_t = _repeat_for_states(rows.Δu, t * c, c)
        B_t = _StateRow(rows.B, t * tile.width + tile.column, c, J)
        C_t = _StateRow(rows.C, t * tile.width + tile.column, c, J)
        sums: list[Value] = []  # four, so that additions do not wait for each other
        for j in range(J):
            decay = exp2(Δ_t * A_log2.load(tile.first + j * LANES))
            h_t = decay.times_plus(h[j].get(), Δu_t * B_t[j])
            h[j].set(h_t)
            if j < 4:
                sums.append(h_t * C_t[j])
            else:
                sums[j % 4] = h_t.times_plus(C_t[j], sums[j % 4])
        y_t = rows.y.load(t * c, c) + _sum_over_states(sum(sums[1:], sums[0]), c)
        rows.y.store(t * c, y_t)
    _store_registers(state, tile.first, h)


@emitted
def activate_again(rows: BackwardRows, vectors: Value) -> None:
    """Replace rows of delta by Δ; store the slope of the softplus and Δ u."""
    with loop(vectors) as i:
        Δ, slope = softplus_and_sigmoid(rows.Δ.load(i * LANES))
        rows.Δ.store(i * LANES, Δ)
        rows.slope.store(i * LANES, slope)
        rows.Δu.store(i * LANES, Δ * rows.u.load(i * LANES))


@emitted
def scan_tile_again(
    c: int,
    J: int,
    saved: SavedState,
    A_log2: Memory,
    rows: BackwardRows,
    tile: Tile,
    history: History,
    upcoming: Upcoming,
) -> None:
    """Run the recurrence over one tile of a chunk again, keeping decays and states."""
    h = _load_registers(saved.states, saved.start, J)
    _store_registers(history.states, A_log2.address.like(0), h)
    for j in range(J):
        saved.states.prefetch(saved.start_before + j * LANES)
    with loop(tile.steps) as t:
        prefetch(upcoming, t)
        Δ_t = _repeat_for_states(rows.Δ, t * c, c)
        Δu_t = _repeat_for_states(rows.Δu, t * c, c)
        B_t = _StateRow(rows.B, t * tile.width + tile.column, c, J)
        for j in range(J):
            offset = t * (J * LANES) + j * LANES
            decay = exp2(Δ_t * A_log2.load(tile.first + j * LANES))
            h_t = decay.times_plus(h[j].get(), Δu_t * B_t[j])
            h[j].set(h_t)
            history.decays.store(offset, decay)
            history.states.store(offset + J * LANES, h_t)


@emitted
def scan_adjoints(
    c: int,
    J: int,
    A_log2: Memory,
    grad_state: Memory,
    grad_A: Memory,
    rows: BackwardRows,
    grads: GradientRows,
    tile: Tile,
    history: History,
    upcoming: Upcoming,
) -> None:
    """Run the adjoint recurrence over one tile of a chunk, from its end.

    ``grad_state`` is the gradient that later chunks pass back to the state; it is replaced by the
    one that this chunk passes back. Adds to the gradients of A, of B and C, of Δ u, and of Δ
    through the decays (divided by ln 2).
    """
    grad_h = _load_registers(grad_state, tile.first, J)
    grad_A_sums = _load_registers(grad_A, tile.first, J)
    with loop(tile.steps) as i:
        t = tile.steps - 1 - i
        prefetch(upcoming, i)
        Δ_t = _repeat_for_states(rows.Δ, t * c, c)
        Δu_t = _repeat_for_states(rows.Δu, t * c, c)
        grad_y_t = _repeat_for_states(rows.grad_y, t * c, c)
        B_t = _StateRow(rows.B, t * tile.width + tile.column, c, J)
        C_t = _StateRow(rows.C, t * tile.width + tile.column, c, J)
        grad_Δu, grad_Δ = Register(Δu_t.like(0)), Register(Δu_t.like(0))

        def grads_of_B_and_C(j: int) -> tuple[Value, ...]:
            offset = t * (J * LANES) + j * LANES
            grad_h_t = grad_y_t.times_plus(C_t[j], grad_h[j].get())
            grad_Δu.set(grad_h_t.times_plus(B_t[j], grad_Δu.get()))
            grad_h_before = grad_h_t * history.decays.load(offset)
            grad_h[j].set(grad_h_before)
            grad_exponent = grad_h_before * history.states.load(offset)  # of Δ_t A
            grad_A_sums[j].set(grad_exponent.times_plus(Δ_t, grad_A_sums[j].get()))
            A_j = A_log2.load(tile.first + j * LANES)
            grad_Δ.set(grad_exponent.times_plus(A_j, grad_Δ.get()))
            return grad_h_t * Δu_t, grad_y_t * history.states.load(offset + J * LANES)

        grad_B_t, grad_C_t = _sum_over_channels(c, J, grads_of_B_and_C)
        for target, offset, grad in (
            (grads.B, t * tile.width + tile.column, grad_B_t),
            (grads.C, t * tile.width + tile.column, grad_C_t),
            (grads.u, t * c, _sum_over_states(grad_Δu.get(), c)),
            (grads.delta, t * c, _sum_over_states(grad_Δ.get(), c)),
        ):
            target.store(offset, target.load(offset, grad.lanes) + grad)
    _store_registers(grad_state, tile.first, grad_h)
    _store_registers(grad_A, tile.first, grad_A_sums)


def _sum_over_channels(c: int, J: int, products: Callable[[int], tuple[Value, ...]]) -> list[Value]:
    """Add up the channels of all vectors at once; lane n of a result belongs to state n.

    Two vectors whose numbers differ in one bit are merged into one: the lanes whose
    number has that bit clear get sums of the first, the others sums of the second.
    So c vectors need c - 1 merges, where each horizontal sum would take log2(c).
    """

    def merged(j: int, bit: int) -> tuple[Value, ...]:
        if bit == 0:
            return products(j)
        low = merged(j, bit // 2)
        high = merged(j + bit, bit // 2) if j + bit < J else tuple(x.like(0) for x in low)
        clear, full = (
            [
                (lane | bit if odd else lane & ~bit) + (LANES if lane & bit else 0)
                for lane in range(LANES)
            ]
            for odd in (False, True)
        )
        return tuple(
            x.shuffle(clear, y) + x.shuffle(full, y) for x, y in zip(low, high, strict=True)
        )

    lanes = [n // J * c + n % J if n < LANES // c * J else LANES for n in range(LANES)]
    return [total.shuffle(lanes) for total in merged(0, c // 2)]


@emitted
def finish_gradients(
    c: int,
    rows: BackwardRows,
    grads: GradientRows,
    D: Memory,
    grad_D: Memory,
    grad_D_first: Value,
    position: Position,
    steps: Value,
    vectors: Value,
) -> None:
    """Turn the gradients of Δ u and of the decays into those of u and delta; add up D's.

    The gradient of D of this block of channels is at ``grad_D_first`` in ``grad_D``.
    """
    for D_s in _skip_weights(c, D, position):
        with loop(vectors) as i:
            grad_Δu, u = grads.u.load(i * LANES), rows.u.load(i * LANES)
            grad_Δ = u.times_plus(grad_Δu, grads.delta.load(i * LANES) * LN_2)
            grads.delta.store(i * LANES, grad_Δ * rows.slope.load(i * LANES))
            skipped = D_s * rows.grad_y.load(i * LANES)
            grads.u.store(i * LANES, rows.Δ.load(i * LANES).times_plus(grad_Δu, skipped))
    total = Register(grad_D.load(grad_D_first, c))
    with loop(steps) as t:
        total.set(rows.u.load(t * c, c).times_plus(rows.grad_y.load(t * c, c), total.get()))
    grad_D.store(grad_D_first, total.get())
