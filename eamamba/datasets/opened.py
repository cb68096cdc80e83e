"""Open every image of a data set once, and remember which are intact."""

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

Fingerprint = list[int]
"""Size in bytes and modification time in nanoseconds."""


def damaged(files: Iterable[Path], *, progress: bool = False) -> dict[Path, str]:
    """Decode images, and return what is wrong with those that cannot be decoded.

    Intact images are remembered in the user's cache folder, if it is writable, by their size and
    modification time: the next call opens only new images.

    Parameters
    ----------
    files : iterable of Path
    progress : bool
        Show a progress bar on standard error, on a terminal only.
    """
    cache = paths.user_cache() / "whole_images.json"
    intact = _remembered(cache)
    fingerprints = {file: _fingerprint(file) for file in dict.fromkeys(files)}
    unknown = [f for f, now in fingerprints.items() if now is None or intact.get(_key(f)) != now]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        opened = tqdm(
            pool.map(_problem, unknown),
            "opening images",
            total=len(unknown),
            disable=None if progress else True,
        )
        found = dict(zip(unknown, opened, strict=True))
    for file, problem in found.items():
        fingerprint = fingerprints[file]
        if problem is None and fingerprint is not None:
            intact[_key(file)] = fingerprint
    if unknown:
        _remember(cache, intact)
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


def _fingerprint(file: Path) -> Fingerprint | None:
    try:
        status = file.stat()
    except OSError:
        return None  # reading it will say why
    return [status.st_size, status.st_mtime_ns]


def _remembered(cache: Path) -> dict[str, Fingerprint]:
    """Return the fingerprints saved by an earlier call with the same version of the package."""
    try:
        content = json.loads(cache.read_bytes())
        return dict(content["whole"]) if content["version"] == __version__ else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # missing or not ours: open everything


def _remember(cache: Path, intact: dict[str, Fingerprint]) -> None:
    content = {"version": __version__, "whole": intact}
    try:
        write_atomically(cache, json.dumps(content).encode())
    except OSError:
        pass  # without a writable folder, only the next call takes longer
