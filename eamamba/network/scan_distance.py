"""The number of scan steps between a pixel and its neighbours in the image."""

from __future__ import annotations

import numpy as np

from eamamba.network.scan_order import SCAN_ORDERS

NEIGHBOURS = tuple(
    (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)
)
"""(row, column) of the eight neighbours of a pixel, relative to it."""


def there_and_back(pattern: str, height: int, width: int) -> np.ndarray:
    """Return the base order of a pattern and its reverse, (2, L): one path in both directions."""
    path = SCAN_ORDERS[pattern](height, width)
    return np.stack([path, path[::-1]])


def neighbour_steps(order: np.ndarray, height: int, width: int) -> np.ndarray:
    """Count the steps from each neighbour of a pixel to the pixel, on the shortest of all paths.

    A scan carries information only forwards, so a path counts for a neighbour only if it visits the
    neighbour first. The contribution of a pixel to the state decays at every step; after many steps
    little is left: *local pixel forgetting*.

    Parameters
    ----------
    order : (heads, L) integer
        Raster positions in visiting order, as `scan_order` returns them; L = height * width.
    height, width : int
        Size of the image in pixels.

    Returns
    -------
    (8, height, width) float64
        For each of `NEIGHBOURS`, the fewest steps from it to the pixel, at least 1; infinite where
        every path visits it later than the pixel, NaN where it lies outside the image.

    References
    ----------
    EAMamba (ICCV 2025), all-around scanning.

    Examples
    --------
    Along the rows and back, the pixel above or below is a row away:

    >>> neighbour_steps(there_and_back("raster", 3, 3), 3, 3)[:, 1, 1]
    array([4., 3., 2., 1., 1., 2., 3., 4.])
    """
    step = np.argsort(order, axis=-1).reshape(-1, height, width).astype(np.float64)
    padded = np.pad(step, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    shortest = np.empty((len(NEIGHBOURS), height, width))
    for place, (down, right) in enumerate(NEIGHBOURS):
        rows, columns = slice(1 + down, 1 + down + height), slice(1 + right, 1 + right + width)
        steps = step - padded[:, rows, columns]
        # NaN, outside the image, is the same for all paths and passes through the minimum.
        shortest[place] = np.where(steps < 0, np.inf, steps).min(axis=0)
    return shortest
