"""Decoded images stored as tiles, so that a crop costs a read instead of a full decode."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.files import write_atomically

_TILE = 256
"""Largest side of a tile in pixels."""
_KEY = "eamamba-tiles-1"
_ENCODINGS = ((np.uint8, 255), (np.uint16, 65535))


class TiledImage:
    """An image in a file of `write_tiled`, parts of which are read by slicing, like a tensor.

    ``image[:, top:bottom, left:right]`` is (C, height, width) float32 in [0, 1], identical to the
    image bit for bit. Each tile is checked against its SHA-256 when it is read.

    Parameters
    ----------
    path : Path
    name : str
        Name of the image in the file.

    Attributes
    ----------
    shape : torch.Size
        Channels, height, width.

    Raises
    ------
    DatasetError
        The file is missing or damaged; also raised when a part is read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        try:
            self._file = safe_open(str(path), "np")
            header = json.loads((self._file.metadata() or {})[_KEY])[name]
            self.shape = torch.Size(header["shape"])
            self._largest, self._side = header["largest"], tuple(header["tile"])
            self._sums = self._file.get_tensor(f"{name}.sha256")
            self._tiles = self._file.get_slice(name)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{path}: not a readable file of tiles ({error})") from None

    def __getitem__(self, part: tuple[slice, slice, slice]) -> Tensor:
        channels, rows, columns = (
            range(length)[one] for length, one in zip(self.shape, part, strict=True)
        )
        high, wide = self._side
        first_row, first_column = rows.start // high, columns.start // wide
        strips = []
        for row in range(first_row, -(-rows.stop // high)):
            tiles = [self._tile(row, n) for n in range(first_column, -(-columns.stop // wide))]
            strips.append(np.concatenate(tiles, axis=1))
        whole = np.concatenate(strips)
        top, left = rows.start - first_row * high, columns.start - first_column * wide
        crop = whole[top : top + len(rows), left : left + len(columns)]
        values = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32))
        return values[channels.start : channels.stop].div_(self._largest)

    def _tile(self, row: int, column: int) -> np.ndarray:
        place = row * math.ceil(self.shape[2] / self._side[1]) + column
        tile = self._tiles[place : place + 1][0]
        if _sum_of(tile) != self._sums[place].tobytes():
            raise DatasetError(f"{self._path}: damaged; delete it, and it is created again")
        return tile


def write_tiled(path: Path, images: Mapping[str, Tensor]) -> None:
    """Write images to a file, atomically.

    Parameters
    ----------
    path : Path
    images : mapping
        Name -> (C, H, W) float32 in [0, 1]; images of 8 or 16 bits are stored with that many bits
        per value.
    """
    arrays: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {}
    for name, image in images.items():
        values, largest = _encoded(image.numpy().transpose(1, 2, 0))
        tiles, side = _tiles_of(values)
        sums = [np.frombuffer(_sum_of(tile), np.uint8) for tile in tiles]
        arrays |= {name: tiles, f"{name}.sha256": np.stack(sums)}
        header[name] = {"shape": list(image.shape), "largest": largest, "tile": side}
    write_atomically(path, save(arrays, {_KEY: json.dumps(header)}))


def _encoded(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return pixels as integers that, divided by the returned divisor, give the same floats."""
    for kind, largest in _ENCODINGS:
        values = np.rint(pixels * largest).astype(kind)
        if np.array_equal(values.astype(np.float32) / np.float32(largest), pixels):
            return values, largest
    return pixels, 1


def _tiles_of(values: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Cut (H, W, C) into tiles of equal size, row by row, padding the last ones with zeros."""
    height, width, channels = values.shape
    down, across = math.ceil(height / _TILE), math.ceil(width / _TILE)
    high, wide = math.ceil(height / down), math.ceil(width / across)
    missing = (down * high - height, across * wide - width)
    filled = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)))
    tiles = filled.reshape(down, high, across, wide, channels).swapaxes(1, 2)
    return np.ascontiguousarray(tiles).reshape(-1, high, wide, channels), [high, wide]


def _sum_of(tile: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(tile).data).digest()
