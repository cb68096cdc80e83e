"""Restore one image: pad, tile, self-ensemble, crop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eamamba.config import EAMambaError
from eamamba.config.errors import ran_out_of_memory
from eamamba.heap import return_free_blocks
from eamamba.network import load_kernels
from eamamba.restore.memory import SMALLEST_TILE, exceeds_limit, fitting_tile, lacking_bytes
from eamamba.restore.tiles import blend_tiles, pad_to_multiple, tile_starts

Progress = Callable[[int, int], None]
Tile = int | Literal["auto"] | None
SelfEnsemble = bool | Literal[0, 4, 8]
OVERLAP = 32
# For recognising images in another range or order: noise moves no pixel this far above 1, and no
# ordinary image has this many channels.
_BRIGHTEST, _MAX_CHANNELS = 4.0, 16
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class RestoreError(EAMambaError, ValueError):
    """An image cannot be restored as requested; the message says why and what to do."""


class Restorer(Protocol):
    """What `restore` needs from a network: a call and two facts about sizes."""

    @property
    def size_multiple(self) -> int:
        """H and W must be multiples of this."""

    @property
    def upscale(self) -> int:
        """Scale factor between the output and the input."""

    def __call__(self, image: Tensor, /) -> Tensor:
        """Return (batch, c', H·upscale, W·upscale) for (batch, c, H, W)."""


def restore(
    model: Restorer,
    image: Float[Tensor, "*batch c h w"],
    *,
    self_ensemble: SelfEnsemble = False,
    tile: Tile = "auto",
    overlap: int | None = None,
    clip: bool = True,
    progress: Progress | None = None,
) -> Float[Tensor, "*batch c2 h2 w2"]:
    """Return the restored image.

    The image is padded by reflection at the right and bottom to a multiple of
    ``model.size_multiple``, restored without gradients, and cropped.

    Parameters
    ----------
    model : EAMamba, EAMambaSR or any module with their two attributes
        Used unchanged (`eamamba.load_model` returns it in eval mode), on its own device.
    image : Tensor (c, H, W) or (batch, c, H, W), floating, in [0, 1]
        On any device; any H and W from 1.
    self_ensemble : {False, True, 0, 4, 8}
        Average over 4 flips (True means 4), or over these and their transposes (8). This takes 4
        or 8 times as long but no more memory.
    tile : int, "auto" or None
        Side of the square tiles in input pixels, at least twice ``model.size_multiple`` and rounded
        down to a multiple of it. None restores the image without tiles. "auto" does so if there is
        enough free memory and otherwise uses the largest tiles that fit; a network without
        ``settings`` is never tiled. To compare scores, fix this choice: the receptive field exceeds
        a tile, so tiling changes the output slightly.
    overlap : int, optional
        Minimum number of pixels that neighbouring tiles share, blended smoothly. By default 32,
        or a quarter of the tile if that is less.
    clip : bool
        Clip the output to [0, 1].
    progress : callable, optional
        Called with (finished calls of the network, total calls).

    Returns
    -------
    Tensor (c', H·s, W·s) or (batch, c', H·s, W·s)
        With s = ``model.upscale``, and the dtype and device of ``image``.

    Raises
    ------
    RestoreError
        If the image is not a floating-point tensor of that shape, is empty or clearly not in
        [0, 1], the tile or self-ensemble option is invalid, or there is not enough memory.
    """
    _check(model, image)
    if isinstance(model, nn.Module):
        load_kernels(model)
    members = _ensemble_size(self_ensemble)
    batch = image if image.dim() == 4 else image[None]
    height, width = batch.shape[-2:]
    padded = pad_to_multiple(batch, model.size_multiple)
    side, shared = _tile_and_overlap(model, padded, tile, overlap)
    output = _restore_tiles(model, padded, side, shared, members, progress)
    side = min(side, max(padded.shape[-2:]))
    smaller = max(side // 2, SMALLEST_TILE)
    if output is None and tile == "auto" and smaller < side and hasattr(model, "settings"):
        warnings.warn(
            f"not enough memory for {width}×{height} pixels in tiles of {side}; trying again "
            f"with tiles of {smaller}",
            stacklevel=2,
        )
        side, shared = _tile_and_overlap(model, padded, smaller, overlap)
        output = _restore_tiles(model, padded, side, shared, members, progress)
    if output is None:
        advice = f"choose smaller tiles, such as {max(side // 2, SMALLEST_TILE)}"
        if side <= SMALLEST_TILE:
            advice = "split the image or close other programs"
        raise RestoreError(
            f"not enough memory for {width}×{height} pixels in tiles of {side}; {advice}"
        )
    cropped = output[..., : height * model.upscale, : width * model.upscale]
    # created outside inference mode, so that the result can be used in a loss
    result = cropped.clamp(0, 1) if clip else cropped.clone()
    return result if image.dim() == 4 else result[0]


def _restore_tiles(
    model: Restorer,
    padded: Tensor,
    side: int,
    shared: int,
    members: int,
    progress: Progress | None,
) -> Tensor | None:
    """Return the restored image, or None if memory ran out or surely would.

    An error's traceback would keep everything that the network computed in memory.
    """
    batch, _, height, width = padded.shape
    if exceeds_limit(model, batch, min(side, height), min(side, width)):
        return None
    starts = [tile_starts(n, side, shared, model.size_multiple) for n in (height, width)]
    counting_model = _CallCounter(model, len(starts[0]) * len(starts[1]) * members, progress)
    try:
        with torch.inference_mode():
            return blend_tiles(
                lambda part: _restore_ensemble(counting_model, part, members),
                padded,
                starts,
                side,
                model.upscale,
            )
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    return_free_blocks()  # for other libraries, which do not use the C library's heap
    return None


class _CallCounter:
    """Calls the network on the device of its weights and reports each call."""

    def __init__(self, model: Restorer, total: int, progress: Progress | None) -> None:
        self.model, self.total, self.progress = model, total, progress
        weights = list(model.parameters()) if isinstance(model, nn.Module) else []
        self.weight = weights[0] if weights else None
        self.done = 0

    def __call__(self, part: Tensor) -> Tensor:
        moved = part if self.weight is None else part.to(self.weight)
        restored = self.model(moved).to(part)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
        return restored


def _restore_ensemble(model: _CallCounter, part: Tensor, members: int) -> Tensor:
    """Average over flips, then over flips of the transposed image, as a running mean."""
    if members == 1:
        return model(part)
    mean: Tensor | None = None
    for member in range(members):
        flips, transposed = _FLIPS[member % 4], member >= 4
        seen = part.flip(flips)
        restored = model(seen.mT if transposed else seen)
        restored = (restored.mT if transposed else restored).flip(flips)
        # a running mean leaves equal members unchanged to the last bit
        mean = restored if mean is None else mean + (restored - mean) / (member + 1)
    assert mean is not None
    return mean


def _tile_and_overlap(
    model: Restorer, padded: Tensor, tile: Tile, overlap: int | None
) -> tuple[int, int]:
    """Return the tile size and the overlap of neighbours, in input pixels."""
    multiple, whole = model.size_multiple, max(padded.shape[-2:])
    if tile == "auto":
        tile = fitting_tile(model, padded)
    if tile is None:
        return whole, 0
    side = tile // multiple * multiple
    if side < 2 * multiple:
        raise RestoreError(f"tiles of {tile} pixels are too small; expected {2 * multiple} or more")
    if overlap is None:
        overlap = min(OVERLAP, side // 4)
    if not 0 <= overlap <= side // 2:
        raise RestoreError(
            f"tiles of {side} pixels cannot share {overlap}; expected 0 to {side // 2}"
        )
    return side, overlap


def _ensemble_size(self_ensemble: SelfEnsemble) -> int:
    members = {0: 1, 1: 4, 4: 4, 8: 8}.get(self_ensemble)
    if members is None:
        raise RestoreError(f"no self-ensemble of {self_ensemble!r}; expected 4 or 8, or 0 for none")
    return members


def _check(model: Restorer, image: object) -> None:
    """Recognise common mistakes instead of (c, h, w) in [0, 1], and a lack of memory."""
    if not isinstance(image, Tensor):
        kind = type(image).__name__
        raise RestoreError(f"expected a floating-point tensor (c, h, w), got {kind}")
    shape = tuple(image.shape)
    if len(shape) not in (3, 4) or math.prod(shape) == 0:
        raise RestoreError(f"expected an image (c, h, w) or (batch, c, h, w), got shape {shape}")
    channels = getattr(getattr(model, "settings", None), "inp_channels", None)
    misplaced = shape[-1] == channels if channels else shape[-1] in (1, 3, 4)
    if misplaced and (shape[-3] != channels if channels else shape[-3] > _MAX_CHANNELS):
        order = "2, 0, 1" if len(shape) == 3 else "0, 3, 1, 2"
        raise RestoreError(
            f"got shape {shape}, which looks like (h, w, c); expected (c, h, w): use "
            f"image.permute({order})"
        )
    if channels and shape[-3] != channels:
        raise RestoreError(f"this network takes {channels} channels, got shape {shape}")
    if not image.is_floating_point():
        hint = " (use image / 255)" if image.dtype == torch.uint8 else ""
        raise RestoreError(f"expected a floating-point image in [0, 1], got {image.dtype}{hint}")
    if lacking := lacking_bytes(model):
        raise RestoreError(
            "not enough memory to start with: raise the limit of this process (ulimit -v or -d) "
            f"by {math.ceil(lacking / 2**20)} MiB or more"
        )
    highest = float(image.max())
    if highest > _BRIGHTEST:
        white = 255 if highest < 256 else 65535
        raise RestoreError(
            f"expected values in [0, 1], got up to {highest:g}; for an image from 0 to {white}, "
            f"use image / {white}"
        )
