"""EAMamba: efficient all-around vision state space model for image restoration.

>>> import eamamba
>>> model = eamamba.load_model("denoise_gaussian")       # doctest: +SKIP

The names below are loaded on first use, which keeps ``import eamamba`` fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from eamamba.checkpoint import load_model, save_model
    from eamamba.network import EAMamba, EAMambaSR

_HOME_OF = {
    "EAMamba": "eamamba.network",
    "EAMambaSR": "eamamba.network",
    "load_model": "eamamba.checkpoint",
    "save_model": "eamamba.checkpoint",
}

__all__ = ["EAMamba", "EAMambaSR", "load_model", "save_model"]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'eamamba' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
