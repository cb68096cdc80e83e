"""Moving the pixels of a chunk between images and rows, as emitted vector code.

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
`Memory` and `Value` in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eamamba.selective_scan.cpu.simd import (
    LANES,
    Memory,
    Value,
    emitted,
    loop,
    partial_then_full,
)

Arrays = tuple[Memory, ...]


class Place(NamedTuple):
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
    """What the next loops will read or write, to be prefetched."""

    channel_images: Arrays  # (batch, L, K, D)
    channel_place: Place
    state_images: Arrays  # (batch, L, K, N), all N of them
    state_place: Place
    visits: Visits


@emitted
def copy(target: Memory, to: Value, source: Memory, start: Value, vectors: Value) -> None:
    """Copy ``vectors * LANES`` numbers."""
    with loop(vectors) as i:
        target.store(to + i * LANES, source.load(start + i * LANES))


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
    place: Place,
    visits: Visits,
) -> None:
    """Copy the visited pixels of images to rows, padded with zeros to ``lanes`` numbers."""
    for t, pixel, valid in _pixels(lanes, images, place, visits):
        for row, image in zip(rows, pixel, strict=True):
            row.store(t * width + column, image.load(0, lanes, valid))


@emitted
def scatter(
    lanes: int,
    rows: Arrays,
    column: Value,
    width: Value,
    images: Arrays,
    place: Place,
    visits: Visits,
) -> None:
    """Copy rows to the visited pixels of images, without the padding."""
    for t, pixel, valid in _pixels(lanes, images, place, visits):
        for row, image in zip(rows, pixel, strict=True):
            image.store(0, row.load(t * width + column, lanes), valid)


def _pixels(
    lanes: int, images: Arrays, place: Place, visits: Visits
) -> Iterator[tuple[Value, list[Memory], Value | None]]:
    """Yield t, the pixel it visits in each image, and how many numbers that has (None: all)."""
    for valid in partial_then_full(images[0].shape[3] - place.first, lanes):
        with loop(visits.steps) as t:
            pixel = visits.order.at(place.k).scalar(visits.start + t)
            yield t, [image.at(place.b, pixel, place.k, place.first) for image in images], valid


def prefetch(upcoming: Upcoming, t: Value) -> None:
    """Ask for the pixel that will be visited at step t."""
    channels, states, visits = upcoming.channel_place, upcoming.state_place, upcoming.visits
    pixel = visits.order.at(channels.k).scalar(visits.start + t)
    for image in upcoming.channel_images:
        image.at(channels.b, pixel, channels.k, channels.first).prefetch(0)
    for image in upcoming.state_images:
        row = image.at(states.b, pixel, channels.k)  # often in two cache lines
        row.prefetch(0)
        row.prefetch(image.shape[3] - 1)
