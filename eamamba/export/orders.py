"""The scan orders in PyTorch operators, for graphs in which the size of the image is a symbol.

`eamamba.network.scan_order` computes an order for one size and caches it. A graph for any size has
to compute it at run time, so the same sort keys are here in operators that can be traced. The tests
compare the two.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BITS = 16
"""Levels of the two curves: sides up to 65536 pixels."""


def scan_order(
    pattern: str, heads: int, height: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Decompose the operator ``eamamba::scan_order``: return the same order.

    Parameters
    ----------
    pattern, heads, height, width, device
        As for `eamamba.network.scan_order.scan_order`; height and width may be symbols.

    Returns
    -------
    Tensor (heads, L) int32
    """
    row = torch.arange(height, device=device)[:, None]
    column = torch.arange(width, device=device)
    image = row * width + column
    rows, columns, mirror = (x.flatten() for x in (image, image.T, image.flip(1)))
    last = height * width - 1
    raster = [rows, last - rows, columns, last - columns]
    if pattern == "raster":
        found = raster + [mirror[order] for order in raster]
    else:
        base = KEYS[pattern](row, column).flatten().argsort()
        found = [base, last - base, mirror[base], last - mirror[base], *raster]
    return torch.stack(found[:heads]).int()


def _diagonal(row: Tensor, column: Tensor) -> Tensor:
    return (row + column) * _length(row) + row


def _zigzag(row: Tensor, column: Tensor) -> Tensor:
    height = _length(row)
    number = row + column
    downwards = (number + height) % 2 == 1
    return number * height + torch.where(downwards, row, height - 1 - row)


def _zorder(row: Tensor, column: Tensor) -> Tensor:
    return 2 * _spread_bits(row) + _spread_bits(column)


def _spread_bits(x: Tensor) -> Tensor:
    """Move bit i to position 2i."""
    return sum((x // 2**bit % 2 * 4**bit for bit in range(BITS)), torch.zeros_like(x))


def _hilbert(row: Tensor, column: Tensor) -> Tensor:
    # Every level above those that the image needs only exchanges x and y.
    largest = torch.maximum(row.max(), column.max())
    levels = sum((largest >= 2**bit for bit in range(BITS)), torch.zeros_like(largest))
    exchanged = (BITS - levels) % 2 == 1
    x, y = torch.where(exchanged, column, row), torch.where(exchanged, row, column)
    key = torch.zeros_like(x)
    for size in (2**bit for bit in reversed(range(BITS))):
        right, upper = x // size % 2, y // size % 2
        key = key + size * size * (3 * right + upper - 2 * right * upper)
        x, y = x % size, y % size
        turned = (right == 1) & (upper == 0)
        x, y = torch.where(turned, size - 1 - x, x), torch.where(turned, size - 1 - y, y)
        x, y = torch.where(upper == 1, x, y), torch.where(upper == 1, y, x)
    return key


def _length(row: Tensor) -> int:
    return row.shape[0]


KEYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "diagonal": _diagonal,
    "zigzag": _zigzag,
    "zorder": _zorder,
    "hilbert": _hilbert,
}
"""Pattern -> function of rows (H, 1) and columns (W,), its sort key of every pixel, (H, W)."""
