"""The inner loops of the selective scan for processors, emitted as vectors.

They work on the rows of one chunk: row t holds what belongs to step t of the chunk.
The layout of the vectors is told in `eamamba.selective_scan._cpu_kernels`. ``c`` is the
number of channels in a vector, ``vectors`` the number J of vectors in a tile of states.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eamamba.selective_scan._cpu_simd import (
    LANES,
    Memory,
    Register,
    Value,
    emitted,
    exp2,
    loop,
    softplus_and_sigmoid,
)

LN_2 = float(np.log(2))


def _spread(rows: Memory, place: Value, c: int) -> Value:
    """Read c channels, repeated for all states of a vector."""
    return rows.load(place, c).shuffle([lane % c for lane in range(LANES)])


def _fold(value: Value, c: int) -> Value:
    """Add up the states of a vector: LANES -> c lanes."""
    lanes = value.lanes
    while lanes > c:
        lanes //= 2
        value = value.shuffle(range(lanes)) + value.shuffle(range(lanes, 2 * lanes))
    return value


class _StateRow:
    """A row of B or C; item j is spread over the channels of vector j."""

    def __init__(self, rows: Memory, place: Value, c: int, vectors: int) -> None:
        self.rows, self.place, self.c, self.vectors = rows, place, c, vectors
        self.row = rows.load(place) if c < LANES else None

    def __getitem__(self, j: int) -> Value:
        if self.row is None:
            return self.rows.everywhere(self.place + j)
        return self.row.shuffle([lane // self.c * self.vectors + j for lane in range(LANES)])


@emitted
def gather(
    rows: Memory, width: Value, lanes: int, image: Memory, visits: Memory, start: Value,
    steps: Value,
) -> None:
    """Copy ``image[visits[start + t]]`` to row t, padded with zeros to ``lanes`` numbers."""
    _copy(rows, width, lanes, image, visits, start, steps, to_rows=True)


@emitted
def scatter(
    rows: Memory, width: Value, lanes: int, image: Memory, visits: Memory, start: Value,
    steps: Value,
) -> None:
    """Copy row t to ``image[visits[start + t]]``, without the padding."""
    _copy(rows, width, lanes, image, visits, start, steps, to_rows=False)


def _copy(
    rows: Memory, width: Value | int, lanes: int, image: Memory, visits: Memory, start: Value,
    steps: Value, *, to_rows: bool,
) -> None:
    count = image.shape[1]
    builder = count.builder
    full = builder.icmp_signed("==", count.value, count.like(lanes).value)
    with builder.if_else(full) as branches:
        for branch, only in zip(branches, (None, count), strict=True):
            with branch, loop(steps) as t:
                pixel = image.row(visits.scalar(start + t))
                if to_rows:
                    rows.store(t * width, pixel.load(0, lanes, only))
                else:
                    pixel.store(0, rows.load(t * width, lanes), only)


@emitted
def activate(delta: Memory, u: Memory, y: Memory, skip: Memory, vectors: Value) -> None:
    """Replace rows of delta by Δ, of u by Δ u, and start y with D u."""
    weight = skip.load(0)
    with loop(vectors) as i:
        place = i * LANES
        step, _ = softplus_and_sigmoid(delta.load(place))
        x = u.load(place)
        delta.store(place, step)
        u.store(place, step * x)
        y.store(place, weight * x)


@emitted
def advance(
    c: int, vectors: int, state: Memory, rates: Memory, first: Value,
    delta: Memory, input: Memory, B: Memory, C: Memory, y: Memory,
    column: Value, width: int, steps: Value,
    sources: list[Memory], visits: Memory, ahead: Value,
) -> None:
    """Run the recurrence over one tile of a chunk and add C h to y."""
    h = [Register(state.load(first + j * LANES)) for j in range(vectors)]
    with loop(steps) as t:
        soon = visits.scalar(ahead + t)
        for source in sources:
            source.row(soon).prefetch(0)
        step, x = _spread(delta, t * c, c), _spread(input, t * c, c)
        b = _StateRow(B, t * width + column, c, vectors)
        c_row = _StateRow(C, t * width + column, c, vectors)
        sums: list[Value | None] = [None] * min(4, vectors)
        for j in range(vectors):
            decay = exp2(step * rates.load(first + j * LANES))
            now = decay.times_plus(h[j].get(), x * b[j])
            h[j].set(now)
            total = sums[j % 4]
            sums[j % 4] = now * c_row[j] if total is None else now.times_plus(c_row[j], total)
        y.store(t * c, y.load(t * c, c) + _fold(_sum(sums), c))
    for j in range(vectors):
        state.store(first + j * LANES, h[j].get())


def _sum(values: list[Value]) -> Value:
    total, *others = values
    for other in others:
        total = total + other
    return total


@emitted
def retrace(
    c: int, vectors: int, state: Memory, start: Value, rates: Memory, first: Value,
    delta: Memory, input: Memory, B: Memory, column: Value, width: int, steps: Value,
    decays: Memory, history: Memory,
) -> None:
    """Run the recurrence over one tile of a chunk again, keeping decays and states."""
    h = [Register(state.load(start + j * LANES)) for j in range(vectors)]
    for j in range(vectors):
        history.store(j * LANES, h[j].get())
    with loop(steps) as t:
        step, x = _spread(delta, t * c, c), _spread(input, t * c, c)
        b = _StateRow(B, t * width + column, c, vectors)
        for j in range(vectors):
            place = (t * vectors + j) * LANES
            decay = exp2(step * rates.load(first + j * LANES))
            now = decay.times_plus(h[j].get(), x * b[j])
            h[j].set(now)
            decays.store(place, decay)
            history.store(place + vectors * LANES, now)


@emitted
def activate_twice(delta: Memory, u: Memory, slope: Memory, input: Memory, vectors: Value) -> None:
    """Replace rows of delta by Δ; store its derivative and the input Δ u."""
    with loop(vectors) as i:
        place = i * LANES
        step, derivative = softplus_and_sigmoid(delta.load(place))
        delta.store(place, step)
        slope.store(place, derivative)
        input.store(place, step * u.load(place))


@emitted
def reverse(
    c: int, vectors: int, adjoint: Memory, rates: Memory, grad_rates: Memory, first: Value,
    delta: Memory, input: Memory, B: Memory, C: Memory, column: Value, width: int, steps: Value,
    decays: Memory, history: Memory, grad_y: Memory,
    grad_input: Memory, grad_step: Memory, grad_B: Memory, grad_C: Memory,
    sources: list[Memory], visits: Memory, ahead: Value,
) -> None:
    """Run the adjoint recurrence over one tile of a chunk, from its end."""
    carry = [Register(adjoint.load(first + j * LANES)) for j in range(vectors)]
    rate_sums = [Register(grad_rates.load(first + j * LANES)) for j in range(vectors)]
    with loop(steps) as i:
        t = steps - 1 - i
        soon = visits.scalar(ahead + i)
        for source in sources:
            source.row(soon).prefetch(0)
        step, x, g_y = (_spread(rows, t * c, c) for rows in (delta, input, grad_y))
        b = _StateRow(B, t * width + column, c, vectors)
        c_row = _StateRow(C, t * width + column, c, vectors)
        to_input, to_step = Register(x.like(0)), Register(x.like(0))

        def products(j: int) -> tuple[Value, Value]:
            place = (t * vectors + j) * LANES
            g = g_y.times_plus(c_row[j], carry[j].get())  # dL/dh_t
            to_input.set(g.times_plus(b[j], to_input.get()))
            through = g * decays.load(place)
            carry[j].set(through)
            exponent = through * history.load(place)  # dL/d(Δ A)
            rate_sums[j].set(exponent.times_plus(step, rate_sums[j].get()))
            to_step.set(exponent.times_plus(rates.load(first + j * LANES), to_step.get()))
            return g * x, g_y * history.load(place + vectors * LANES)

        for rows, total in zip((grad_B, grad_C), _over_channels(c, vectors, products), strict=True):
            rows.store(t * width + column, rows.load(t * width + column) + total)
        for rows, register in ((grad_input, to_input), (grad_step, to_step)):
            rows.store(t * c, rows.load(t * c, c) + _fold(register.get(), c))
    for j in range(vectors):
        adjoint.store(first + j * LANES, carry[j].get())
        grad_rates.store(first + j * LANES, rate_sums[j].get())


def _over_channels(c: int, vectors: int, products: Callable[[int], tuple[Value, ...]]) -> list[Value]:
    """Add up the channels of all vectors at once; item n of a result belongs to state n.

    Two vectors whose numbers differ in one bit are merged into one: the lanes whose
    number has that bit clear get the sums of the first, the others those of the second.
    So c vectors need c - 1 merges, where each horizontal sum would take log2(c).
    """

    def merged(j: int, bit: int) -> tuple[Value, ...] | None:
        if j >= vectors:
            return None
        if bit == 0:
            return tuple(products(j))
        low, high = merged(j, bit // 2), merged(j + bit, bit // 2)
        if low is None:
            return None
        high = high or tuple(x.like(0) for x in low)
        clear = [lane & ~bit | (LANES if lane & bit else 0) for lane in range(LANES)]
        set_ = [lane | bit | (LANES if lane & bit else 0) for lane in range(LANES)]
        return tuple(
            x.shuffle(clear, y) + x.shuffle(set_, y) for x, y in zip(low, high, strict=True)
        )

    states = LANES // c * vectors
    ordered = [
        n // vectors * c + n % vectors if n < states else LANES for n in range(LANES)
    ]
    return [total.shuffle(ordered) for total in merged(0, c // 2)]


@emitted
def finish(
    c: int, delta: Memory, u: Memory, slope: Memory, grad_y: Memory, skip: Memory,
    grad_input: Memory, grad_step: Memory, grad_skip: Memory, steps: Value, vectors: Value,
) -> None:
    """Turn the gradients of Δ u and of the exponents into those of u and delta; add up D's."""
    weight = skip.load(0)
    with loop(vectors) as i:
        place = i * LANES
        through = grad_input.load(place)
        into_step = u.load(place).times_plus(through, grad_step.load(place) * LN_2)
        grad_step.store(place, into_step * slope.load(place))
        g_y = grad_y.load(place)
        grad_input.store(place, delta.load(place).times_plus(through, weight * g_y))
    skip_sum = Register(grad_skip.load(0, c))
    with loop(steps) as t:
        skip_sum.set(u.load(t * c, c).times_plus(grad_y.load(t * c, c), skip_sum.get()))
    grad_skip.store(0, skip_sum.get())
