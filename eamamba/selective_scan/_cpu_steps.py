"""The inner loops of the selective scan for processors, emitted as vectors.

They work on the rows of one chunk: row t holds what belongs to step t of the chunk.
The layout of the vectors is told in `eamamba.selective_scan._cpu_kernels`. Arguments
that return: ``c``, the number of channels in a vector; ``J``, the number of vectors in a
tile of states; ``first``, where the tile begins in arrays of states; ``column``, where it
begins in the rows of B and C, which are ``width`` numbers long; ``where``, the indices
(b, k, first channel) into images; ``visits``, the pair (order, first step of the chunk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eamamba.selective_scan._cpu_math import exp2, softplus_and_sigmoid
from eamamba.selective_scan._cpu_simd import (
    LANES,
    Memory,
    Register,
    Value,
    emitted,
    loop,
    where_full,
)

LN_2 = float(np.log(2))


@emitted
def copy(target: Memory, to: Value, source: Memory, start: Value, vectors: Value) -> None:
    """Copy ``vectors * LANES`` numbers."""
    with loop(vectors) as i:
        target.store(to + i * LANES, source.load(start + i * LANES))


@emitted
def clear(rows: Memory, vectors: Value) -> None:
    """Set the first ``vectors * LANES`` numbers to 0."""
    with loop(vectors) as i:
        rows.store(i * LANES, rows.zeros())


@emitted
def gather(
    lanes: int,
    rows: Memory,
    place: Value,
    width: Value,
    image: Memory,
    where: list[Value],
    visits: list[Any],
    steps: Value,
) -> None:
    """Copy the visited pixels of an image to rows, padded with zeros to ``lanes`` numbers."""
    for row, pixel, only in _pixels(lanes, place, width, image, where, visits, steps):
        rows.store(row, pixel.load(0, lanes, only))


@emitted
def scatter(
    lanes: int,
    rows: Memory,
    place: Value,
    width: Value,
    image: Memory,
    where: list[Value],
    visits: list[Any],
    steps: Value,
) -> None:
    """Copy rows to the visited pixels of an image, without the padding."""
    for row, pixel, only in _pixels(lanes, place, width, image, where, visits, steps):
        pixel.store(0, rows.load(row, lanes), only)


def _pixels(
    lanes: int,
    place: Value,
    width: Value,
    image: Memory,
    where: list[Value],
    visits: list[Any],
    steps: Value,
) -> Iterator[tuple[Value, Memory, Value | None]]:
    b, k, first = where
    order, start = visits
    for only in where_full(image.shape[3] - first, lanes):
        with loop(steps) as t:
            pixel = order.at(k).scalar(start + t)
            yield t * width + place, image.at(b, pixel, k, first), only


def _prefetch(
    images: list[Memory],
    projections: list[Memory],
    where: list[Value],
    visits: list[Any],
    t: Value,
) -> None:
    """Ask for the pixel that is visited at step t of the next chunk."""
    b, k, first = where
    order, ahead = visits
    pixel = order.at(k).scalar(ahead + t)
    for image in images:
        image.at(b, pixel, k, first).prefetch(0)
    for projection in projections:
        projection.at(b, pixel, k).prefetch(0)


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

    def __init__(self, rows: Memory, place: Value, c: int, J: int) -> None:
        self.rows, self.place, self.c, self.J = rows, place, c, J
        self.row = rows.load(place) if c < LANES else None

    def __getitem__(self, j: int) -> Value:
        if self.row is None:
            return self.rows.everywhere(self.place + j)
        return self.row.shuffle([lane // self.c * self.J + j for lane in range(LANES)])


@emitted
def activate(
    c: int,
    step_rows: Memory,
    x_rows: Memory,
    y_rows: Memory,
    D: Memory,
    where: list[Value],
    vectors: Value,
) -> None:
    """Replace rows of delta by Δ, of u by Δ u, and start y with D u."""
    for weight in _skip_weights(c, D, where):
        with loop(vectors) as i:
            place = i * LANES
            step, _ = softplus_and_sigmoid(step_rows.load(place))
            x = x_rows.load(place)
            step_rows.store(place, step)
            x_rows.store(place, step * x)
            y_rows.store(place, weight * x)


def _skip_weights(c: int, D: Memory, where: list[Value]) -> Iterator[Value]:
    _, k, first = where
    for only in where_full(D.shape[1] - first, c):
        yield D.at(k, first).load(0, c, only).shuffle([lane % c for lane in range(LANES)])


@emitted
def advance(
    c: int,
    J: int,
    state: Memory,
    rates: Memory,
    first: Value,
    rows: list[Memory],
    column: Value,
    width: Value,
    steps: Value,
    images: list[Memory],
    projections: list[Memory],
    where: list[Value],
    visits: list[Any],
) -> None:
    """Run the recurrence over one tile of a chunk and add C h to y."""
    step_rows, x_rows, B_rows, C_rows, y_rows = rows
    h = [Register(state.load(first + j * LANES)) for j in range(J)]
    with loop(steps) as t:
        _prefetch(images, projections, where, visits, t)
        step, x = _spread(step_rows, t * c, c), _spread(x_rows, t * c, c)
        B_t = _StateRow(B_rows, t * width + column, c, J)
        C_t = _StateRow(C_rows, t * width + column, c, J)
        sums: list[Value] = []  # four, so that additions need not wait for one another
        for j in range(J):
            decay = exp2(step * rates.load(first + j * LANES))
            now = decay.times_plus(h[j].get(), x * B_t[j])
            h[j].set(now)
            if j < 4:
                sums.append(now * C_t[j])
            else:
                sums[j % 4] = now.times_plus(C_t[j], sums[j % 4])
        y_rows.store(t * c, y_rows.load(t * c, c) + _fold(sum(sums[1:], sums[0]), c))
    for j in range(J):
        state.store(first + j * LANES, h[j].get())


@emitted
def activate_twice(
    step_rows: Memory, u_rows: Memory, slope_rows: Memory, x_rows: Memory, vectors: Value
) -> None:
    """Replace rows of delta by Δ; store the slope of the softplus and Δ u."""
    with loop(vectors) as i:
        place = i * LANES
        step, slope = softplus_and_sigmoid(step_rows.load(place))
        step_rows.store(place, step)
        slope_rows.store(place, slope)
        x_rows.store(place, step * u_rows.load(place))


@emitted
def retrace(
    c: int,
    J: int,
    state: Memory,
    start: Value,
    rates: Memory,
    first: Value,
    rows: list[Memory],
    column: Value,
    width: Value,
    steps: Value,
    decays: Memory,
    history: Memory,
) -> None:
    """Run the recurrence over one tile of a chunk again, keeping decays and states.

    The chunk's first state is read from place ``start`` of ``state``; ``history`` begins
    with it, so that its row t is the state before step t.
    """
    step_rows, x_rows, B_rows = rows
    h = [Register(state.load(start + j * LANES)) for j in range(J)]
    for j in range(J):
        history.store(j * LANES, h[j].get())
    with loop(steps) as t:
        step, x = _spread(step_rows, t * c, c), _spread(x_rows, t * c, c)
        B_t = _StateRow(B_rows, t * width + column, c, J)
        for j in range(J):
            place = t * (J * LANES) + j * LANES
            decay = exp2(step * rates.load(first + j * LANES))
            now = decay.times_plus(h[j].get(), x * B_t[j])
            h[j].set(now)
            decays.store(place, decay)
            history.store(place + J * LANES, now)


@emitted
def reverse(
    c: int,
    J: int,
    adjoint: Memory,
    rates: Memory,
    grad_rates: Memory,
    first: Value,
    rows: list[Memory],
    grad_rows: list[Memory],
    column: Value,
    width: Value,
    steps: Value,
    decays: Memory,
    history: Memory,
    images: list[Memory],
    projections: list[Memory],
    where: list[Value],
    visits: list[Any],
) -> None:
    """Run the adjoint recurrence over one tile of a chunk, from its end.

    Adds to the rows of the gradients of x = Δ u, of Δ through the decays (in units of
    1 / ln 2), of B and of C.
    """
    step_rows, x_rows, B_rows, C_rows, grad_y_rows = rows
    carry = [Register(adjoint.load(first + j * LANES)) for j in range(J)]
    rate_sums = [Register(grad_rates.load(first + j * LANES)) for j in range(J)]
    with loop(steps) as i:
        t = steps - 1 - i
        _prefetch(images, projections, where, visits, i)
        step, x, grad_y = (_spread(r, t * c, c) for r in (step_rows, x_rows, grad_y_rows))
        B_t = _StateRow(B_rows, t * width + column, c, J)
        C_t = _StateRow(C_rows, t * width + column, c, J)
        into_x, into_step = Register(x.like(0)), Register(x.like(0))

        def products(j: int) -> tuple[Value, ...]:
            place = t * (J * LANES) + j * LANES
            grad_h = grad_y.times_plus(C_t[j], carry[j].get())
            into_x.set(grad_h.times_plus(B_t[j], into_x.get()))
            before = grad_h * decays.load(place)  # gradient of the state before step t
            carry[j].set(before)
            exponent = before * history.load(place)
            rate_sums[j].set(exponent.times_plus(step, rate_sums[j].get()))
            into_step.set(exponent.times_plus(rates.load(first + j * LANES), into_step.get()))
            return grad_h * x, grad_y * history.load(place + J * LANES)

        grads = [*_over_channels(c, J, products), *(_fold(r.get(), c) for r in (into_x, into_step))]
        places = [t * width + column] * 2 + [t * c] * 2
        for target, place, grad in zip(grad_rows, places, grads, strict=True):
            target.store(place, target.load(place, grad.lanes) + grad)
    for j in range(J):
        adjoint.store(first + j * LANES, carry[j].get())
        grad_rates.store(first + j * LANES, rate_sums[j].get())


def _over_channels(c: int, J: int, products: Callable[[int], tuple[Value, ...]]) -> list[Value]:
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
def finish(
    c: int,
    rows: list[Memory],
    grad_x_rows: Memory,
    grad_step_rows: Memory,
    D: Memory,
    grad_skip: Memory,
    first: Value,
    where: list[Value],
    steps: Value,
    vectors: Value,
) -> None:
    """Turn the gradients of Δ u and of the exponents into those of u and delta; add up D's."""
    step_rows, u_rows, slope_rows, grad_y_rows = rows
    for weight in _skip_weights(c, D, where):
        with loop(vectors) as i:
            place = i * LANES
            into_x, u = grad_x_rows.load(place), u_rows.load(place)
            into_step = u.times_plus(into_x, grad_step_rows.load(place) * LN_2)
            grad_step_rows.store(place, into_step * slope_rows.load(place))
            skipped = weight * grad_y_rows.load(place)
            grad_x_rows.store(place, step_rows.load(place).times_plus(into_x, skipped))
    total = Register(grad_skip.load(first, c))
    with loop(steps) as t:
        total.set(u_rows.load(t * c, c).times_plus(grad_y_rows.load(t * c, c), total.get()))
    grad_skip.store(first, total.get())
