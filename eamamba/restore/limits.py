"""How much memory this process may still use: limits of machine, container and shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from eamamba.heap import return_free_blocks, reusable_bytes

# Address space that the first call of a network takes regardless of its size (measured): the
# kernels and their compiler, and for each thread its stack and the C library's memory arena.
_FIRST_CALL_BYTES = 320 * 2**20
_THREAD_BYTES = 72 * 2**20
_CGROUP_2, _CGROUP_1 = "cgroup2", "cgroup"
# Limits, usage, and the counter of reclaimable memory in memory.stat.
_FILES = {
    _CGROUP_2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    _CGROUP_1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory() -> int:
    """Return how many bytes of main memory a computation may use without being killed."""
    return_free_blocks()  # from the previous image
    free = min([psutil.virtual_memory().available, *cgroup_bytes()])
    limit = address_space()
    return free if limit is None else min(free, limit)


def address_space() -> int | None:
    """Return the bytes that RLIMIT_AS and RLIMIT_DATA (``ulimit -v``, ``-d``) leave for tensors.

    What the libraries still need is subtracted, since some hang or kill the process without it, so
    the result may be negative. None if there is no such limit.
    """
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    used = psutil.Process().memory_info()
    of = {resource.RLIMIT_AS: used.vms, resource.RLIMIT_DATA: getattr(used, "data", used.vms)}
    limits = {kind: resource.getrlimit(kind)[0] for kind in of}
    free = [limits[kind] - of[kind] for kind in of if limits[kind] != resource.RLIM_INFINITY]
    if not free:
        return None
    first = "eamamba.selective_scan.cpu.kernels" not in sys.modules
    libraries = first * (_FIRST_CALL_BYTES + _THREAD_BYTES * torch.get_num_threads())
    return min(free) + reusable_bytes() - libraries


def cgroup_bytes(proc: Path = Path("/proc/self")) -> list[int]:
    """Return the free bytes of every control group that this process is in (Docker, Slurm …).

    Empty if none has a limit, or on systems other than Linux.

    Parameters
    ----------
    proc : Path
        Folder of the process.
    """
    try:
        memberships = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    groups = [line.split(":", 2)[1:] for line in memberships]
    free: list[int] = []
    for kind, root, mounted in _cgroup_mounts(mounts):
        for controllers, group in groups:
            if "memory" in controllers.split(",") or (kind == _CGROUP_2 and not controllers):
                found = (_free_in(kind, folder) for folder in _with_ancestors(root, mounted, group))
                free += [number for number in found if number is not None]
    return free


def _cgroup_mounts(lines: list[str]) -> Iterator[tuple[str, str, Path]]:
    """Yield the kind, the root within its hierarchy and the mount point of cgroup file systems."""
    for line in lines:
        mount, _, system = line.partition(" - ")
        kind, _, options = (*system.split(maxsplit=2), "", "", "")[:3]
        root, mounted = mount.split()[3:5]
        if kind == _CGROUP_2 or (kind == _CGROUP_1 and "memory" in options.split(",")):
            yield kind, root, Path(mounted.encode().decode("unicode_escape"))


def _with_ancestors(root: str, mounted: Path, group: str) -> list[Path]:
    """Return the folders of a group and its ancestors, each of which has its own limit."""
    inner = os.path.relpath(group, root)
    # in a container, the mounted folder is the group, and its path that on the machine
    folder = mounted if inner.startswith("..") else mounted / inner
    return [folder, *(outer for outer in folder.parents if outer.is_relative_to(mounted))]


def _free_in(kind: str, folder: Path) -> int | None:
    limit_names, use, reclaimable = _FILES[kind]
    try:
        limits = [_number(folder / name) for name in limit_names if (folder / name).is_file()]
        limit = min((number for number in limits if number is not None), default=None)
        used = _number(folder / use)
        statistics = (folder / "memory.stat").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None  # the root group has no limits
    if limit is None or used is None:
        return None
    counts = dict(zip(statistics[::2], statistics[1::2], strict=False))
    return max(limit - used + int(counts.get(reclaimable, 0)), 0)


def _number(file: Path) -> int | None:
    text = file.read_text(encoding="utf-8").strip()
    return None if text == "max" else int(text)
