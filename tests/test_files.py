"""Files are written whole or not at all, and keep what they had."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path

import pytest

from eamamba.files import remove_leftovers, write_atomically

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_is_replaced_and_its_folder_created(old_file: Path, tmp_path: Path) -> None:
    write_atomically(old_file, b"new")
    write_atomically(tmp_path / "a" / "b" / "file", b"first")
    assert old_file.read_bytes() == b"new"
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path)) == ["a", "file"]


def test_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    write_atomically(path, b"new")
    write_atomically(path, b"newer")
    assert os.listdir(tmp_path) == [path.name]


@posix
@pytest.mark.parametrize("permissions", [0o600, 0o664, 0o444])
def test_permissions_are_kept(old_file: Path, permissions: int) -> None:
    old_file.chmod(permissions)
    write_atomically(old_file, b"new")
    assert mode(old_file) == permissions


@posix
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_file_follows_the_umask(tmp_path: Path, umask: int, expected: int) -> None:
    usual = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        os.umask(usual)
    assert mode(tmp_path / "file") == expected


@posix
def test_symbolic_link_is_replaced_and_its_target_left_alone(
    old_file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(old_file)
    write_atomically(link, b"new")
    assert not link.is_symlink()
    assert (old_file.read_bytes(), link.read_bytes()) == (b"old", b"new")


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device", ".1a2b.tmp")]
)
def test_failure_leaves_the_old_file(
    old_file: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(failure)) as raised:
        write_atomically(old_file, b"half")
    assert old_file.read_bytes() == b"old"
    assert os.listdir(old_file.parent) == [old_file.name]
    if isinstance(raised.value, OSError):
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(old_file))


def test_full_disk_leaves_the_old_file(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as raised:
        write_atomically(old_file, b"half")
    assert raised.value.filename == str(old_file)
    assert old_file.read_bytes() == b"old"
    assert os.listdir(old_file.parent) == [old_file.name]


def test_old_file_is_kept_on_demand(old_file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    write_atomically(tmp_path / "new", b"first", kept)
    assert not kept.exists()
    write_atomically(old_file, b"new", kept)
    assert (old_file.read_bytes(), kept.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_old_file_stays_where_the_disk_fails_late(
    old_file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=re.escape(str(old_file))):
        write_atomically(old_file, b"half", old_file.with_name("kept"))
    assert old_file.read_bytes() == b"old"
    assert os.listdir(old_file.parent) == [old_file.name]


def test_leftovers_are_those_of_one_file(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = old_file.with_name("other")
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: None)  # as if killed before it
        write_atomically(old_file, b"half")
        write_atomically(other, b"half")
    assert len(os.listdir(old_file.parent)) == 3
    remove_leftovers(old_file)
    assert len(os.listdir(old_file.parent)) == 2
    remove_leftovers(other)
    assert os.listdir(old_file.parent) == [old_file.name]
