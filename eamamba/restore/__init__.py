"""Restore images of any size with any network: pad, tile, self-ensemble, crop.

`restore` works on tensors, `restore_photo` on photographs including the metadata of their files.
"""

from __future__ import annotations

from eamamba.restore.run import (
    Progress,
    RestoreError,
    Restorer,
    SelfEnsemble,
    Tile,
    restore,
    restore_photo,
)
from eamamba.restore.tiles import pad_to_multiple

__all__ = [
    "Progress",
    "RestoreError",
    "Restorer",
    "SelfEnsemble",
    "Tile",
    "pad_to_multiple",
    "restore",
    "restore_photo",
]
