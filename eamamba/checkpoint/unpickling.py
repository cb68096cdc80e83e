"""Reading a ``.pth`` without running anything in it, and without a trace in the process.

PyTorch's own `weights_only` mode admits further types, such as NumPy's, through a list that all
threads share. Here a table says what may be in a file, and each call reads by itself.
"""

from __future__ import annotations

import _codecs
import collections
import io
import mmap
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar

from eamamba.checkpoint.errors import CheckpointError

_BUILTINS = {kind.__name__: kind for kind in (set, frozenset, complex, bytearray, list, dict, int)}
_ARRAYS = {"_reconstruct": _reconstruct, "scalar": scalar}
_HARMLESS: dict[str, dict[str, Any]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,  # its name in Python 2, which pickles of protocol 2 use
    "collections": {
        kind.__name__: kind
        for kind in (collections.OrderedDict, collections.defaultdict, collections.Counter)
    },
    "_codecs": {"encode": _codecs.encode},  # how protocol 2 writes bytes
    "torch": {
        "Size": torch.Size,
        "device": torch.device,
        **{name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    },
    "torch._utils": {
        name: getattr(torch._utils, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
    "torch.nn.parameter": {"Parameter": torch.nn.Parameter},
    "numpy": {"ndarray": np.ndarray, "dtype": np.dtype},
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.multiarray": _ARRAYS,  # its name in NumPy 1
}
_ZIP = b"PK\x03\x04"


class _RefusedError(pickle.UnpicklingError):
    """A file names something that is not in the table."""


class _Unpickler(pickle.Unpickler):
    """Knows the table and nothing else; storages are PyTorch's affair."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _HARMLESS[module][name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


# What torch.load asks of a module that unpickles.
_UNPICKLING = SimpleNamespace(__name__=__name__, Unpickler=_Unpickler, load=_load)


def unpickle(path: Path) -> object:
    """Return what a file that ``torch.save`` wrote holds.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or holds anything but tensors and plain values.
    """
    try:
        return torch.load(
            _source(path), map_location="cpu", weights_only=False, pickle_module=_UNPICKLING
        )
    except _RefusedError as error:
        raise CheckpointError(
            f"{path}: refused: holds objects other than tensors and plain values ({error}), which "
            "could run code when loaded"
        ) from None
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except Exception as error:  # torch raises many kinds here, and only some are documented
        reason = " ".join(str(error).split(". ")[0].split()) or type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None


def _source(path: Path) -> Path | io.BytesIO:
    """Return what ``torch.load`` may be given: it would run programs, and unpack archives."""
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
        if not start:
            raise CheckpointError(f"{path}: not a readable checkpoint: the file is empty")
        if start != _ZIP:
            # an older form; from memory, it is never taken for a tar archive
            return io.BytesIO(start + file.read())
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"constants.pkl") >= 0:  # by this member torch knows a program
                raise CheckpointError(
                    f"{path}: refused: holds a TorchScript program; expected weights"
                )
    return path
