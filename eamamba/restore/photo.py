"""Restore one photograph, with what its file holds beside the colours."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from eamamba.images import Photo
from eamamba.restore.run import Progress, RestoreError, Restorer, SelfEnsemble, Tile, restore
from eamamba.restore.tiles import with_border

BORDER = 8  # width of the edge effect of the networks in the package


def restore_photo(
    model: Restorer,
    photo: Photo,
    *,
    right: Photo | None = None,
    self_ensemble: SelfEnsemble = False,
    tile: Tile = "auto",
    overlap: int | None = None,
    progress: Progress | None = None,
) -> Photo:
    """Return the restored photograph, with the bit depth, profile and EXIF data of its file.

    A grayscale photograph is restored as three equal channels, whose mean is written. A border of
    reflected pixels is added for the network and cropped again; see `with_border`. Transparency is
    kept; super-resolution enlarges it with the bicubic kernel. The other parameters are those of
    `restore`.

    Parameters
    ----------
    right : Photo, optional
        The right view of a dual-pixel sensor; `photo` is the left one.

    Raises
    ------
    RestoreError
        As for `restore`, or if the network takes another number of views, or they differ in size.
    """
    rgb = restore(
        model,
        with_border(_views(model, photo, right), BORDER),
        self_ensemble=self_ensemble,
        tile=tile,
        overlap=overlap,
        progress=progress,
    )
    height, width = (side * model.upscale for side in photo.rgb.shape[-2:])
    cut = BORDER * model.upscale
    rgb = rgb[:, cut : cut + height, cut : cut + width].contiguous()
    alpha = photo.alpha
    if alpha is not None and model.upscale > 1:
        alpha = F.interpolate(alpha[None], scale_factor=model.upscale, mode="bicubic")[0]
        alpha = alpha.clamp(0, 1)
    return dataclasses.replace(photo, rgb=rgb, alpha=alpha)


def _views(model: Restorer, photo: Photo, right: Photo | None) -> Tensor:
    """Return the channels that the network takes: those of one view, or of two."""
    expected = getattr(getattr(model, "settings", None), "inp_channels", 3) // 3
    views = [photo.rgb] if right is None else [photo.rgb, right.rgb]
    if len(views) != expected:
        takes = "one view" if expected == 1 else "the left and the right view of a photograph"
        raise RestoreError(f"this network takes {takes}, and {len(views)} came; see --right")
    sizes = [f"{view.shape[-1]}×{view.shape[-2]}" for view in views]
    if len(set(sizes)) > 1:
        raise RestoreError(f"views of {' and '.join(sizes)} pixels; expected equal sizes")
    return torch.cat(views)
