"""Keep large CPU buffers instead of returning them to the system after every layer."""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names and values of <malloc.h>
_NEVER = -1  # not the maximum, 2 GiB: at 1024×1024 pixels, more is free between layers


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of <malloc.h>."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@cache
def reuse_large_blocks() -> bool:
    """Make the C library reuse freed blocks of any size within this process.

    By default glibc maps every block over 32 MiB anew, and the kernel clears it page by page: at
    256×256 pixels that takes longer than half of the network's arithmetic. The process keeps its
    peak memory until it ends or calls `return_free_blocks`. Has an effect only on Linux with glibc.

    Returns
    -------
    bool
        Whether it took effect.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))


def return_free_blocks() -> None:
    """Return freed memory that the process still holds to the system (glibc only)."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def reusable_bytes() -> int:
    """Return the bytes of freed blocks whose addresses the process holds (0 without glibc)."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2  # since glibc 2.33
    except (AttributeError, TypeError):
        return 0
    mallinfo.restype = _MallInfo
    return int(mallinfo().fordblks)
