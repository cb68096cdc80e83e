"""Restore images of any size with any network: pad, tile, self-ensemble, crop.

`restore` works on tensors, `restore_photo` on photographs including the metadata of their files.
"""

from __future__ import annotations

from eamamba.restore.captured import Captured
from eamamba.restore.photo import restore_photo
from eamamba.restore.precision import InBfloat16, Precision, with_precision
from eamamba.restore.run import (
    Progress,
    RestoreError,
    Restorer,
    SelfEnsemble,
    Tile,
    restore,
)
from eamamba.restore.strength import blend
from eamamba.restore.tiles import pad_to_multiple

__all__ = [
    "Captured",
    "InBfloat16",
    "Precision",
    "Progress",
    "RestoreError",
    "Restorer",
    "SelfEnsemble",
    "Tile",
    "blend",
    "pad_to_multiple",
    "restore",
    "restore_photo",
    "with_precision",
]
