"""Atomic file writing, and what identifies a file."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

# Of a large file, so much at either end: compressed pixels and checksums stand there.
_END_BYTES = 2**16


def write_atomically(path: Path, content: bytes, keep_old: Path | None = None) -> None:
    """Write a file so that an interruption leaves the old or the new file, never half of one.

    The content goes to a temporary file in the same folder, which then replaces the old one.

    Parameters
    ----------
    path : Path
        Its folder is created if missing. A replaced file keeps its permissions; a new file, or one
        that replaces a symbolic link, gets those of the umask.
    content : bytes
    keep_old : Path, optional
        Where to move the replaced file once the new one is complete.

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk. It names ``path``; an existing
        file stays unchanged.
    """
    temporary = path.with_name(f"{_temporary_start(path)}{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            temporary.write_bytes(content)
            _flush(temporary)
            _keep_permissions(path, temporary)
            if keep_old is not None and path.exists():
                os.replace(path, keep_old)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_leftovers(path: Path) -> None:
    """Remove temporary files left by killed writes; no other process may be writing the file."""
    for temporary in path.parent.glob(f"{_temporary_start(path)}*.tmp"):
        temporary.unlink(missing_ok=True)


def _temporary_start(path: Path) -> str:
    """Return the start of the names of a file's temporary files.

    Not the name itself, which may already be as long as the file system allows.
    """
    return f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}-"


def _flush(path: Path) -> None:
    """Wait until the content is on disk, because the renaming must not get there first."""
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported there
                raise


def _keep_permissions(old: Path, new: Path) -> None:
    if old.is_symlink() or not old.is_file():
        return
    wanted, given = (stat.S_IMODE(path.stat().st_mode) for path in (old, new))
    if wanted != given:  # some file systems have no permissions to set
        new.chmod(wanted)


def identifying_parts(path: Path) -> Iterator[bytes]:
    """Yield what tells a file from others: its name, its size and its two ends.

    The ends are 64 KiB each, which hold all of a small file.
    """
    yield os.fsencode(path.name)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        yield str(size).encode()
        file.seek(0)
        yield file.read(_END_BYTES)
        file.seek(max(size - _END_BYTES, min(size, _END_BYTES)))
        yield file.read()
