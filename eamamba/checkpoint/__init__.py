"""Weights on disk: our own files, the paper's released ones, and those of other programs.

Ours are safetensors files with the settings as JSON in the header, so that a file is a complete
model. A ``.pth`` is read without running any code in it (`unpickling`) and translated (`released`,
`other_programs`).
"""

from __future__ import annotations

from eamamba.checkpoint.errors import CheckpointError, CheckpointWarning
from eamamba.checkpoint.weights import (
    FORMAT,
    find_weights,
    load_model,
    named_weights,
    read_header,
    save_model,
)

__all__ = [
    "FORMAT",
    "CheckpointError",
    "CheckpointWarning",
    "find_weights",
    "load_model",
    "named_weights",
    "read_header",
    "save_model",
]
