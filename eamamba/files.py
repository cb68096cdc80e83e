"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that an interruption leaves the old one or the new one, never half.

    The content goes into a temporary file of the same folder, which then takes the place of the
    old one.

    Parameters
    ----------
    path : Path
        Its folder is created. A file that is replaced keeps its permissions; a new one, or one
        in the place of a symbolic link, gets those that the umask leaves.
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written, such as on a full disk. It names ``path``; a file that was
        there stays as it was.
    """
    # not made from the name of the file, which may be as long as the file system allows
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
