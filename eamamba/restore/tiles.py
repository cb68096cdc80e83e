"""Reflection padding, and blending tiles into one image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pad_to_multiple(
    image: Float[Tensor, "*batch h w"], multiple: int
) -> Float[Tensor, "*batch h2 w2"]:
    """Pad an image by reflection at the right and bottom to multiples of ``multiple``.

    The edge pixel is not repeated. An image smaller than its padding is reflected back and forth;
    a single row or column is repeated.

    Parameters
    ----------
    image : Tensor (…, H, W)
        Any H and W from 1.
    multiple : int
        At least 1.
    """
    for dim in (-2, -1):
        size = image.shape[dim]
        if size % multiple:
            target = math.ceil(size / multiple) * multiple
            image = image.index_select(dim, _reflected_positions(size, target, image.device))
    return image


def with_border(image: Float[Tensor, "*batch h w"], pixels: int) -> Float[Tensor, "*batch h2 w2"]:
    """Pad an image by reflection on all four sides; see `pad_to_multiple`.

    Because of zero padding, networks see black outside an image and let it leak into the outermost
    pixels, by up to a tenth of the range on saturated colours. Such a border prevents that.

    Parameters
    ----------
    image : Tensor (…, H, W)
    pixels : int
        Width of the border.
    """
    for dim in (-2, -1):
        target = image.shape[dim] + 2 * pixels
        positions = _reflected_positions(image.shape[dim], target, image.device, -pixels)
        image = image.index_select(dim, positions)
    return image


def _reflected_positions(
    size: int, target: int, device: torch.device, first: int = 0
) -> Int[Tensor, " target"]:
    """Return ``target`` terms of … 0 … size-1 … 0 … from the given one, 0 being the first pixel."""
    period = max(2 * size - 2, 1)
    position = torch.arange(first, first + target, device=device) % period
    return torch.minimum(position, (period - position) % period if size > 1 else position)


def tile_starts(length: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """Return tile starts that cover ``length`` evenly.

    Parameters
    ----------
    length, tile : int
        In pixels, multiples of ``multiple``; the tile at least twice as large.
    overlap : int
        Minimum number of pixels that neighbours share; at most half a tile.
    multiple : int
        Starts are multiples of it too, so that every tile is aligned with the network's
        downsampling grid like the whole image.
    """
    if length <= tile:
        return [0]
    stride = (tile - overlap) // multiple * multiple
    count = math.ceil((length - tile) / stride) + 1
    gap = (length - tile) / (count - 1) / multiple
    return [int(i * gap) * multiple for i in range(count - 1)] + [length - tile]


def blend_tiles(
    restore_tile: Callable[[Tensor], Tensor],
    image: Float[Tensor, "b c h w"],
    starts: list[list[int]],
    tile: int,
    scale: int,
) -> Float[Tensor, "b c2 h2 w2"]:
    """Restore tile by tile, holding only the output, one strip of tiles and one tile in memory.

    Each tile is blended into its predecessors, with weights from 0 to 1 across the overlap. The
    weights sum to 1 in every pixel, so equal tiles leave no seam.

    Parameters
    ----------
    restore_tile : callable
        (batch, c, h, w) to (batch, c', h·scale, w·scale).
    image : Tensor (batch, c, H, W)
    starts : list of two lists of int
        Top edges and left edges of the tiles, from `tile_starts`.
    tile : int
        Tile size in pixels of ``image``.
    scale : int
        Scale factor.
    """
    tops, lefts = starts
    if len(tops) == len(lefts) == 1:
        return restore_tile(image)
    height, width = image.shape[-2] * scale, image.shape[-1] * scale
    output: Tensor | None = None
    for row, top in enumerate(tops):
        strip: Tensor | None = None
        for column, left in enumerate(lefts):
            part = restore_tile(image[..., top : top + tile, left : left + tile])
            if strip is None:
                strip = part.new_empty(*part.shape[:-1], width)
            done = (lefts[column - 1] + tile) * scale if column else 0
            _fade_in(strip, part, left * scale, done, dim=-1)
        assert strip is not None
        if output is None:
            output = strip.new_empty(*strip.shape[:-2], height, width)
        done = (tops[row - 1] + tile) * scale if row else 0
        _fade_in(output, strip, top * scale, done, dim=-2)
    assert output is not None
    return output


def _fade_in(canvas: Tensor, part: Tensor, start: int, done: int, dim: int) -> None:
    """Write ``part`` at ``start``, blended with the canvas where that is already filled."""
    shared = max(done - start, 0)
    size = part.shape[dim]
    if shared:
        weight = ramp(shared).to(part)
        weight = weight if dim == -1 else weight[:, None]
        # lerp leaves equal values unchanged to the last bit; a weighted sum would not
        canvas.narrow(dim, start, shared).lerp_(part.narrow(dim, 0, shared), weight)
    rest = size - shared
    canvas.narrow(dim, start + shared, rest).copy_(part.narrow(dim, shared, rest))


def ramp(length: int) -> Float[Tensor, " length"]:
    """Return a smooth rise from 0 to 1, sin² of the pixel centres; with its mirror it sums to 1."""
    centres = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return torch.sin(centres * math.pi / 2) ** 2
