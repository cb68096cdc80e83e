"""The inner loops of the selective scan for processors, emitted as vectors.

They work on the rows of one chunk: row t holds what belongs to step t of the chunk.
The layout of the vectors is told in `eamamba.selective_scan.cpu.kernels`. Arguments
that return: ``c``, the number of channels in a vector; ``J``, the number of vectors in a
tile of states; ``tile``, the numbers (first, column, width, steps): where the tile begins
in arrays of states and in the rows of B and C, the length of those rows, and the steps
of the chunk; ``soon``, what to prefetch (`eamamba.selective_scan.cpu.rows.prefetch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eamamba.selective_scan.cpu.math import exp2, softplus_and_sigmoid
from eamamba.selective_scan.cpu.rows import prefetch
from eamamba.selective_scan.cpu.simd import (
    LANES,
    Memory,
    Register,
    Value,
    emitted,
    loop,
    where_full,
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

    def __init__(self, rows: Memory, place: Value, c: int, J: int) -> None:
        self.rows, self.place, self.c, self.J = rows, place, c, J
        self.row = rows.load(place) if c < LANES else None

    def __getitem__(self, j: int) -> Value:
        if self.row is None:
            return self.rows.everywhere(self.place + j)
        return self.row.shuffle([lane // self.c * self.J + j for lane in range(LANES)])


def _skip_weights(c: int, D: Memory, where: list[Value]) -> Iterator[Value]:
    _, k, first = where
    for only in where_full(D.shape[1] - first, c):
        yield D.at(k, first).load(0, c, only).shuffle([lane % c for lane in range(LANES)])


@emitted
def activate(c: int, rows: list[Memory], D: Memory, where: list[Value], vectors: Value) -> None:
    """Replace rows of delta by Δ, of u by Δ u, and start y with D u."""
    step_rows, x_rows, y_rows = rows
    for weight in _skip_weights(c, D, where):
        with loop(vectors) as i:
            place = i * LANES
            step, _ = softplus_and_sigmoid(step_rows.load(place))
            x = x_rows.load(place)
            step_rows.store(place, step)
            x_rows.store(place, step * x)
            y_rows.store(place, weight * x)


def _registers(states: Memory, first: Value, J: int) -> list[Register]:
    return [Register(states.load(first + j * LANES)) for j in range(J)]


def _keep(states: Memory, first: Value, registers: list[Register]) -> None:
    for j, register in enumerate(registers):
        states.store(first + j * LANES, register.get())


@emitted
def advance(
    c: int,
    J: int,
    state: Memory,
    rates: Memory,
    rows: list[Memory],
    tile: list[Value],
    soon: list[Any],
) -> None:
    """Run the recurrence over one tile of a chunk and add C h to y.

    With AVX-512 and 16 vectors a step is 265 vector instructions, and nothing but
    addresses for the prefetch is spilled: A and the scalars of B and C are operands in
    memory, so the states and the constants of the exponential just fit the 32 registers.
    """
    step_rows, x_rows, B_rows, C_rows, y_rows = rows
    first, column, width, steps = tile
    h = _registers(state, first, J)
    with loop(steps) as t:
        prefetch(soon, t)
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
    _keep(state, first, h)


@emitted
def activate_twice(rows: list[Memory], vectors: Value) -> None:
    """Replace rows of delta by Δ; store the slope of the softplus and Δ u."""
    step_rows, u_rows, slope_rows, x_rows = rows
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
    saved: list[Any],
    rates: Memory,
    rows: list[Memory],
    tile: list[Value],
    record: list[Memory],
    soon: list[Any],
) -> None:
    """Run the recurrence over one tile of a chunk again, keeping decays and states.

    ``saved`` is (states, the place of the chunk's first one, that of the chunk before).
    ``record`` is (decays, history): row t of the history is the state before step t.
    """
    states, start, start_before = saved
    step_rows, x_rows, B_rows = rows
    first, column, width, steps = tile
    decays, history = record
    h = _registers(states, start, J)
    _keep(history, rates.address.like(0), h)
    for j in range(J):
        states.prefetch(start_before + j * LANES)
    with loop(steps) as t:
        prefetch(soon, t)
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
    sums: list[Memory],
    rows: list[Memory],
    grad_rows: list[Memory],
    tile: list[Value],
    record: list[Memory],
    soon: list[Any],
) -> None:
    """Run the adjoint recurrence over one tile of a chunk, from its end.

    ``sums`` is (rates, gradient of the state, gradient of the rates so far). Adds to the rows of
    the gradients of B, of C, of x = Δ u, and of Δ through the decays (in units of 1 / ln 2).
    """
    rates, adjoint, grad_rates = sums
    step_rows, x_rows, B_rows, C_rows, grad_y_rows = rows
    first, column, width, steps = tile
    decays, history = record
    carry, rate_sums = _registers(adjoint, first, J), _registers(grad_rates, first, J)
    with loop(steps) as i:
        t = steps - 1 - i
        prefetch(soon, i)
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
    _keep(adjoint, first, carry)
    _keep(grad_rates, first, rate_sums)


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
    grad_rows: list[Memory],
    D: Memory,
    grad_skip: list[Any],
    where: list[Value],
    steps: Value,
    vectors: Value,
) -> None:
    """Turn the gradients of x and of the decays into those of u and delta; add up D's.

    ``rows`` are those of Δ, u, the gradient of y and the slope of the softplus;
    ``grad_skip`` is (array, place in it).
    """
    step_rows, u_rows, grad_y_rows, slope_rows = rows
    grad_x_rows, grad_step_rows = grad_rows
    for weight in _skip_weights(c, D, where):
        with loop(vectors) as i:
            place = i * LANES
            into_x, u = grad_x_rows.load(place), u_rows.load(place)
            into_step = u.times_plus(into_x, grad_step_rows.load(place) * LN_2)
            grad_step_rows.store(place, into_step * slope_rows.load(place))
            skipped = weight * grad_y_rows.load(place)
            grad_x_rows.store(place, step_rows.load(place).times_plus(into_x, skipped))
    sums, first = grad_skip
    total = Register(sums.load(first, c))
    with loop(steps) as t:
        total.set(u_rows.load(t * c, c).times_plus(grad_y_rows.load(t * c, c), total.get()))
    sums.store(first, total.get())
