"""Errors as one line."""

from __future__ import annotations

from eamamba.cli.extras import extra_with
from eamamba.config import EAMambaError
from eamamba.config.errors import ran_out_of_memory


def explained(error: Exception) -> str | None:
    """Return the message for an error caused by the user's files, settings or machine.

    None for any other error, which is a bug and needs its traceback.
    """
    if isinstance(error, EAMambaError):
        reason = str(error)
    elif ran_out_of_memory(error):
        own = isinstance(error, MemoryError) and "not enough memory" in str(error)
        reason = str(error) if own else "not enough memory; close other programs or raise the limit"
    elif isinstance(error, ModuleNotFoundError) and (extra := extra_with(error.name or "")):
        reason = f'this needs {error.name}: pip install "eamamba[{extra}]"'
    elif isinstance(error, OSError):
        reason = f"{error.filename or 'system'}: {error.strerror or error}"
    else:
        return None
    return " ".join(reason.split())
