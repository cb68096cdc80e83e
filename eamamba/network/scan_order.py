"""Scan orders: the order in which each head of the scan visits the pixels of an image.

Every pattern assigns a sort key to each pixel; sorting the pixels by their keys gives the *base
order* of the pattern. The heads apply the base order to mirrored and rotated copies of the image
(the all-around scan of the paper is ``diagonal`` with 8 heads). Everything here is a pure function
of the image size, so results are computed once and cached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from eamamba.config import SettingsError
from eamamba.config.errors import did_you_mean

HEAD_COUNTS = (1, 2, 4, 8)


def _rows_and_columns(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of every pixel in raster order, each (L,) int64."""
    row, column = np.divmod(np.arange(height * width, dtype=np.int64), width)
    return row, column


def _order_by_key(key: np.ndarray) -> np.ndarray:
    return np.argsort(key, kind="stable")


def raster(height: int, width: int) -> np.ndarray:
    """Visit the rows from top to bottom, each from left to right; (L,) int64."""
    return np.arange(height * width, dtype=np.int64)


def diagonal(height: int, width: int) -> np.ndarray:
    """Visit the antidiagonals one after another, each from top to bottom; (L,) int64."""
    row, column = _rows_and_columns(height, width)
    return _order_by_key((row + column) * height + row)


def zigzag(height: int, width: int) -> np.ndarray:
    """Visit the antidiagonals, reversing direction after each; (L,) int64.

    Downwards where the antidiagonal's number plus the height is odd, otherwise upwards.
    """
    row, column = _rows_and_columns(height, width)
    number = row + column
    downwards = (number + height) % 2 == 1
    return _order_by_key(number * height + np.where(downwards, row, height - 1 - row))


def zorder(height: int, width: int) -> np.ndarray:
    """Visit in Morton order: column bits at even positions, row bits at odd ones; (L,) int64."""
    row, column = _rows_and_columns(height, width)
    key = np.zeros_like(row)
    for bit in range(max(height, width).bit_length()):
        key |= ((column >> bit) & 1) << (2 * bit)
        key |= ((row >> bit) & 1) << (2 * bit + 1)
    return _order_by_key(key)


def hilbert(height: int, width: int) -> np.ndarray:
    """Visit along the Hilbert curve of the enclosing power-of-two square; (L,) int64.

    The curve starts in the top left corner, with x = row and y = column in the usual ``d2xy``
    formulation. Positions in the square outside the image are skipped.
    """
    x, y = _rows_and_columns(height, width)
    key = np.zeros_like(x)
    size = 1 << (max(height, width) - 1).bit_length()
    while size > 1:
        size //= 2
        right, upper = (x & size) > 0, (y & size) > 0
        key += size * size * ((3 * right) ^ upper)
        x, y = x & (size - 1), y & (size - 1)
        # Rotate the curve within a quadrant so that its ends meet those of its neighbours.
        turned = right & ~upper
        x, y = np.where(turned, size - 1 - x, x), np.where(turned, size - 1 - y, y)
        x, y = np.where(upper, x, y), np.where(upper, y, x)
    return _order_by_key(key)


SCAN_ORDERS: dict[str, Callable[[int, int], np.ndarray]] = {
    "raster": raster,
    "diagonal": diagonal,
    "zigzag": zigzag,
    "zorder": zorder,
    "hilbert": hilbert,
}
"""Pattern name -> function of (height, width) that returns the base order, (L,) int64."""


def _mirror_left_right(order: np.ndarray, width: int) -> np.ndarray:
    row, column = np.divmod(order, width)
    return row * width + (width - 1 - column)


def _raster_heads(height: int, width: int) -> list[np.ndarray]:
    """Return rows, rows reversed, columns, columns reversed; then these four mirrored."""
    rows = raster(height, width)
    columns = rows.reshape(height, width).T.ravel()
    heads = [rows, rows[::-1], columns, columns[::-1]]
    return heads + [_mirror_left_right(head, width) for head in heads]


def _pattern_heads(pattern: str, height: int, width: int) -> list[np.ndarray]:
    """Return the base order for four symmetric copies of the image, then four raster orders."""
    base = SCAN_ORDERS[pattern](height, width)
    last = height * width - 1
    mirrored = _mirror_left_right(base, width)
    # Mirrored top to bottom = rotated by 180 degrees, then mirrored left to right.
    heads = [base, last - base, mirrored, last - mirrored]
    return heads + _raster_heads(height, width)[:4]


@lru_cache(maxsize=16)
def _compute_scan_order(pattern: str, heads: int, height: int, width: int) -> np.ndarray:
    make_heads = _raster_heads if pattern == "raster" else partial(_pattern_heads, pattern)
    return np.stack(make_heads(height, width)[:heads]).astype(np.int32)


@lru_cache(maxsize=16)
def _scan_order_on_device(
    device: torch.device, pattern: str, heads: int, height: int, width: int
) -> Tensor:
    # A tensor created inside inference mode could never be saved for a later backward pass.
    with torch.inference_mode(mode=False):
        return torch.from_numpy(_compute_scan_order(pattern, heads, height, width)).to(device)


# A custom operator, so that `torch.compile` and export call it instead of tracing into it.
@torch.library.custom_op("eamamba::scan_order", mutates_args=())
def _scan_order_operator(
    pattern: str, heads: int, height: int, width: int, device: torch.device
) -> Tensor:
    if device.type == "meta":  # the values are never read
        return _scan_order_shape(pattern, heads, height, width, device)
    if device.type != "cpu":
        return _scan_order_on_device(device, pattern, heads, height, width)
    return torch.from_numpy(_compute_scan_order(pattern, heads, height, width))


@_scan_order_operator.register_fake
def _scan_order_shape(
    pattern: str,  # noqa: ARG001
    heads: int,
    height: int,
    width: int,
    device: torch.device,
) -> Tensor:
    return torch.empty(heads, height * width, dtype=torch.int32, device=device)


def scan_order(
    pattern: str,
    heads: int,
    height: int,
    width: int,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return which pixel each head of a scan visits at each step.

    Parameters
    ----------
    pattern : {'raster', 'diagonal', 'zigzag', 'zorder', 'hilbert'}
    heads : {1, 2, 4, 8}
        Head 0 visits the base order; head 1 does so on the image rotated by 180 degrees, head 2
        mirrored left to right, and head 3 mirrored top to bottom. Heads 4 to 7 are raster, its
        reverse, column-major and its reverse. With fewer heads, the first of these are used.
        For ``raster``, heads 0 to 3 are raster, its reverse, column-major and its reverse. The
        paper defines only these four, so heads 4 to 7 repeat them on the image mirrored left to
        right, which completes the eight symmetries of the rectangle.
    height, width : int
        Size of the feature map in pixels, at least 1.
    device : device of the result

    Returns
    -------
    Tensor (heads, L) int32, contiguous, L = height * width
        Raster positions in visiting order; every row is a permutation of 0 ... L-1. Calls share its
        memory: do not modify it.

    Raises
    ------
    SettingsError
        If the pattern or the number of heads is unknown.
    ValueError
        If the image is empty.

    References
    ----------
    EAMamba (ICCV 2025), all-around scanning.

    Examples
    --------
    >>> scan_order("diagonal", 2, 2, 2)
    tensor([[0, 1, 2, 3],
            [3, 2, 1, 0]], dtype=torch.int32)
    """
    if pattern not in SCAN_ORDERS:
        known = did_you_mean(str(pattern), SCAN_ORDERS)
        raise SettingsError(f"scan order {pattern!r}: no such pattern{known}")
    if heads not in HEAD_COUNTS:
        raise SettingsError(f"{heads!r} scan heads: no such number of heads; use 1, 2, 4 or 8")
    if height < 1 or width < 1:
        raise ValueError(f"image of {height}x{width} pixels: expected at least 1x1 to scan")
    return _scan_order_operator(pattern, heads, height, width, torch.device(device))
