"""Moving the pixels of a chunk between images and rows, as emitted vector code.

Row t holds what belongs to step t of the chunk. ``where`` are the indices (b, k, first
channel) into images, ``visits`` is the pair (order, first step of the chunk).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eamamba.selective_scan._cpu_simd import LANES, Memory, Value, emitted, loop, where_full


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
    lanes: int, rows: list[Any], image: Memory, where: list[Value], visits: list[Any], steps: Value
) -> None:
    """Copy the visited pixels of an image to rows, padded with zeros to ``lanes`` numbers.

    ``rows`` is (array, place in it, distance of rows).
    """
    for row, pixel, only in _pixels(lanes, rows, image, where, visits, steps):
        rows[0].store(row, pixel.load(0, lanes, only))


@emitted
def scatter(
    lanes: int, rows: list[Any], image: Memory, where: list[Value], visits: list[Any], steps: Value
) -> None:
    """Copy rows to the visited pixels of an image, without the padding."""
    for row, pixel, only in _pixels(lanes, rows, image, where, visits, steps):
        pixel.store(0, rows[0].load(row, lanes), only)


def _pixels(
    lanes: int, rows: list[Any], image: Memory, where: list[Value], visits: list[Any], steps: Value
) -> Iterator[tuple[Value, Memory, Value | None]]:
    _, place, width = rows
    b, k, first = where
    order, start = visits
    for only in where_full(image.shape[3] - first, lanes):
        with loop(steps) as t:
            pixel = order.at(k).scalar(start + t)
            yield t * width + place, image.at(b, pixel, k, first), only


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
