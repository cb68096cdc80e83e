"""Atomic file writing."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that an interruption leaves the old or the new file, never half of one.

    The content goes to a temporary file in the same folder, which then replaces the old one.

    Parameters
    ----------
    path : Path
        Its folder is created. A replaced file keeps its permissions. A new file, or one that
        replaces a symbolic link, gets permissions according to the umask.
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk. It names ``path``; an existing
        file stays unchanged.
    """
    # not derived from the file name, which may be as long as the file system allows
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            temporary.write_bytes(content)
            _keep_permissions(path, temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _keep_permissions(old: Path, new: Path) -> None:
    if old.is_symlink() or not old.is_file():
        return
    wanted, given = (stat.S_IMODE(path.stat().st_mode) for path in (old, new))
    if wanted != given:  # some file systems have no permissions to set
        new.chmod(wanted)
