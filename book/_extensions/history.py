"""The commits that last changed files, which date results without a clock."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

DIGITS = 10
"""Number of digits of a commit's hash to print, the same in any clone."""


class Commit(NamedTuple):
    """The commit that wrote a file."""

    digits: str
    date: str  # YYYY-MM-DD


class History(NamedTuple):
    """The commits of files, by path from the root of the repository; empty without Git."""

    commits: dict[str, Commit]  # the youngest first
    changed: set[str]  # files with changes that are in no commit yet

    def youngest(self, paths: Iterable[str]) -> Commit | None:
        """Return the last commit of some files; None if one has uncommitted changes."""
        asked = set(paths)
        if asked & self.changed:
            return None
        return next((one for path, one in self.commits.items() if path in asked), None)


def read_history(root: Path, *folders: str) -> History:
    """Ask Git about the files in some folders.

    A shallow clone does not know when files changed, so like an unpacked archive it has no commits.
    """
    if _git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        return History({}, set())
    log = _git(root, "log", "--format=%x00%H %cs", "--name-only", "--no-renames", "--", *folders)
    commits: dict[str, Commit] = {}
    for entry in log.split("\0")[1:]:
        head, *paths = filter(None, entry.splitlines())
        digits, date = head.split()
        for path in paths:  # youngest first
            commits.setdefault(path, Commit(digits[:DIGITS], date))
    status = _git(root, "status", "--porcelain", "-z", "--no-renames", "--", *folders)
    return History(commits, {line[3:] for line in status.split("\0") if line})


def _git(root: Path, *words: str) -> str:
    """Return the output of Git; empty if Git is missing or this is not a repository."""
    command = ["git", "-c", "core.quotePath=false", *words]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
