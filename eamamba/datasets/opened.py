"""Open every image of a data set once, and remember which were whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from eamamba import __version__, paths
from eamamba.config import EAMambaError
from eamamba.files import write_atomically
from eamamba.images import read_image

Seal = list[int]
"""Size in bytes and time of the last change in nanoseconds."""


def damaged(files: Iterable[Path], *, progress: bool = False) -> dict[Path, str]:
    """Decode images, and return what is wrong with those that cannot be.

    Those that are whole are remembered in the user's cache folder, where it can be written, by
    their size and the time of their last change: the next call opens only what is new.

    Parameters
    ----------
    files : iterable of Path
    progress : bool
        Show a progress bar on standard error, on a terminal only.
    """
    cache = paths.user_cache() / "whole_images.json"
    whole = _remembered(cache)
    seals = {file: _seal(file) for file in dict.fromkeys(files)}
    unknown = [f for f, seal in seals.items() if seal is None or whole.get(_key(f)) != seal]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        opened = tqdm(
            pool.map(_problem, unknown),
            "opening images",
            total=len(unknown),
            disable=None if progress else True,
        )
        found = dict(zip(unknown, opened, strict=True))
    for file, problem in found.items():
        seal = seals[file]
        if problem is None and seal is not None:
            whole[_key(file)] = seal
    if unknown:
        _remember(cache, whole)
    return {file: problem for file, problem in found.items() if problem is not None}


def _problem(file: Path) -> str | None:
    try:
        read_image(file)
    except (EAMambaError, MemoryError) as error:
        return str(error)
    except OSError as error:
        return f"{file}: cannot be read ({error.strerror or error})"
    return None


def _key(file: Path) -> str:
    return os.path.abspath(file)


def _seal(file: Path) -> Seal | None:
    try:
        status = file.stat()
    except OSError:
        return None  # reading it will say why
    return [status.st_size, status.st_mtime_ns]


def _remembered(cache: Path) -> dict[str, Seal]:
    """Return the seals of an earlier call, by the same version of what reads images."""
    try:
        content = json.loads(cache.read_bytes())
        return dict(content["whole"]) if content["version"] == __version__ else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # none yet, or not ours: everything is opened


def _remember(cache: Path, whole: dict[str, Seal]) -> None:
    content = {"version": __version__, "whole": whole}
    try:
        write_atomically(cache, json.dumps(content).encode())
    except OSError:
        pass  # a folder that cannot be written costs time at the next call, nothing else
