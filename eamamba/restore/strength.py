"""Restore a photograph partially: a blend of the original and the restored one."""

from __future__ import annotations

import dataclasses

from eamamba.degradations.resize import resize
from eamamba.images import Photo
from eamamba.restore.run import RestoreError


def blend(photo: Photo, restored: Photo, strength: float) -> Photo:
    """Return ``photo + strength · (restored − photo)``.

    Parameters
    ----------
    photo, restored : Photo
        Before and after; a smaller one is enlarged with the bicubic kernel.
    strength : float in [0, 1]
        0 is the photograph itself, 1 the restored one.

    Raises
    ------
    RestoreError
        If the strength is not in [0, 1].
    """
    if not 0 <= strength <= 1:
        raise RestoreError(f"strength {strength:g}: expected 0 (unchanged) to 1 (restored)")
    if strength == 1:
        return restored
    before = photo.rgb
    if before.shape != restored.rgb.shape:
        height, width = restored.rgb.shape[-2:]
        before = resize(before, (height, width)).clamp(0, 1)
    return dataclasses.replace(restored, rgb=before.lerp(restored.rgb, strength))
