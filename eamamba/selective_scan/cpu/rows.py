"""Moving the pixels of a chunk between images and rows, as emitted vector code.

Row t holds what belongs to step t of the chunk. ``where`` are the indices (b, k, first
channel) into images, ``visits`` is the pair (order, first step of the chunk).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eamamba.selective_scan.cpu.simd import LANES, Memory, Value, emitted, loop, where_full


@emitted
def copy(target: Memory, to: Value, source: Memory, start: Value, vectors: Value) -> None:
    """Copy ``vectors * LANES`` numbers."""
    with loop(vectors) as i:
        target.store(to + i * LANES, source.load(start + i * LANES))


@emitted
def clear(rows: list[Memory], vectors: Value) -> None:
    """Set the first ``vectors * LANES`` numbers to 0."""
    with loop(vectors) as i:
        for row in rows:
            row.store(i * LANES, row.zeros())


@emitted
def gather(
    lanes: int,
    rows: list[Memory],
    column: Value,
    width: Value,
    images: list[Memory],
    where: list[Value],
    visits: list[Any],
    steps: Value,
) -> None:
    """Copy the visited pixels of images to rows, padded with zeros to ``lanes`` numbers.

    A row begins at ``column`` and ends before ``width``, where the next one begins.
    """
    for t, pixel, only in _pixels(lanes, images, where, visits, steps):
        for row, image in zip(rows, pixel, strict=True):
            row.store(t * width + column, image.load(0, lanes, only))


@emitted
def scatter(
    lanes: int,
    rows: list[Memory],
    column: Value,
    width: Value,
    images: list[Memory],
    where: list[Value],
    visits: list[Any],
    steps: Value,
) -> None:
    """Copy rows to the visited pixels of images, without the padding."""
    for t, pixel, only in _pixels(lanes, images, where, visits, steps):
        for row, image in zip(rows, pixel, strict=True):
            image.store(0, row.load(t * width + column, lanes), only)


def _pixels(
    lanes: int, images: list[Memory], where: list[Value], visits: list[Any], steps: Value
) -> Iterator[tuple[Value, list[Memory], Value | None]]:
    b, k, first = where
    order, start = visits
    for only in where_full(images[0].shape[3] - first, lanes):
        with loop(steps) as t:
            pixel = order.at(k).scalar(start + t)
            yield t, [image.at(b, pixel, k, first) for image in images], only


def prefetch(soon: list[Any], t: Value) -> None:
    """Ask for the pixel that is visited at step t of a chunk, to be used in the next loops.

    ``soon`` is (images with channels, where, images with states, where, visits).
    """
    images, (b, k, first), projections, (part, _, _), (order, start) = soon
    pixel = order.at(k).scalar(start + t)
    for image in images:
        image.at(b, pixel, k, first).prefetch(0)
    for projection in projections:
        row = projection.at(part, pixel, k)  # often in two cache lines
        row.prefetch(0)
        row.prefetch(projection.shape[3] - 1)
