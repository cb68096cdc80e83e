"""Reading a ``.pth`` without running any code in it and without changing global state.

PyTorch's own `weights_only` mode admits further types, such as NumPy's, through a list that all
threads share. Here a table defines what a file may hold, and calls are independent.
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
_ALLOWED: dict[str, dict[str, Any]] = {
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
    """A file refers to something that is not in the table."""


class _Unpickler(pickle.Unpickler):
    """Resolves only names in the table; storages are handled by PyTorch."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module][name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


# What torch.load requires of a pickle module.
_UNPICKLING = SimpleNamespace(__name__=__name__, Unpickler=_Unpickler, load=_load)


def unpickle(path: Path) -> object:
    """Return the content of a file written by ``torch.save``.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or holds anything other than tensors and plain values.
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
    except Exception as error:  # torch raises many types here, and documents only some
        reason = " ".join(str(error).split(". ")[0].split()) or type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None


def _source(path: Path) -> Path | io.BytesIO:
    """Return a safe argument for ``torch.load``, which would run programs and unpack archives."""
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
        if not start:
            raise CheckpointError(f"{path}: not a readable checkpoint: the file is empty")
        if start != _ZIP:
            # the older format; from memory it is never mistaken for a tar archive
            return io.BytesIO(start + file.read())
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"constants.pkl") >= 0:  # this marks a program
                raise CheckpointError(
                    f"{path}: refused: holds a TorchScript program; expected weights"
                )
    return path
