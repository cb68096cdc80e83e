"""Where memory is limited: the limit is found, tiles follow it, and running out is one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import WEIGHTS, at_iteration, tiny
from torch import Tensor

from eamamba.cli.program import main
from eamamba.config import EAMambaSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.images import ImageError, read_photo, reading, write_image
from eamamba.network import EAMamba
from eamamba.restore import RestoreError, memory, restore
from eamamba.restore.limits import address_space, available_memory, cgroup_bytes
from eamamba.restore.photo import BORDER
from eamamba.training import TrainingError, train

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps these limits")


def limited(command: str, *limits: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process with limits of the shell's ``ulimit``."""
    words = [sys.executable, "-m", "eamamba", *command.split()]
    text = " && ".join([*(f"ulimit {limit}" for limit in limits), 'exec "$@"'])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["sh", "-c", text, "sh", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def write_photo(path: Path, side: int) -> None:
    write_image(path, torch.rand(3, side, side, generator=torch.Generator().manual_seed(side)))


@linux
def test_a_limited_address_space_takes_smaller_tiles(tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.png", 512)
    done = limited("restore photo.png -o out/ -t compact_denoiser", "-v 1450000", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "photo.png: 512×512 pixels" in done.stdout


@linux
@pytest.mark.parametrize("limit", ["-v 1800000", "-d 1000000"])
def test_tiles_too_large_end_one_photo_in_one_line(tmp_path: Path, limit: str) -> None:
    write_photo(tmp_path / "large.png", 1024 - 2 * BORDER)
    write_photo(tmp_path / "small.png", 40)
    photos = "restore large.png small.png -o out/ -t denoise_gaussian --tile 1024"
    done = limited(photos, limit, folder=tmp_path)
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert error.startswith("error: large.png: not enough memory for 1024×1024 pixels")
    assert error.endswith("choose smaller tiles, such as 512")
    assert "small.png: 40×40 pixels" in done.stdout


@linux
@pytest.mark.parametrize("limit", [750_000, 950_000])
def test_too_little_to_start_with_is_one_line(tmp_path: Path, limit: int) -> None:
    write_photo(tmp_path / "photo.png", 40)
    command = "restore photo.png -o out/ -t denoise_gaussian"
    done = limited(command, f"-v {limit}", folder=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*not enough memory.*\n", done.stderr), done.stderr


@pytest.fixture
def network() -> EAMamba:
    torch.manual_seed(0)
    return EAMamba(EAMambaSettings()).eval()


def exhaust(monkeypatch: pytest.MonkeyPatch, above: int, error: Exception) -> list[int]:
    """Let the network fail on tiles above a size; return the sides of all that it was given."""
    sides: list[int] = []

    def forward(_: EAMamba, image: Tensor) -> Tensor:
        sides.append(max(image.shape[-2:]))
        if sides[-1] > above:
            raise error
        return image

    monkeypatch.setattr(EAMamba, "forward", forward)
    return sides


ERRORS = [
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((9,), np.dtype("f4")),
    ImportError("libx.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_automatic_tiles_are_halved_once(
    network: EAMamba, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sides = exhaust(monkeypatch, 128, error)
    image = torch.rand(3, 256, 200, generator=torch.Generator().manual_seed(0))
    with pytest.warns(
        UserWarning, match=r"not enough memory for 200×256 .*again with tiles of 128"
    ):
        assert torch.equal(restore(network, image), image)
    assert sides[0] == 256
    assert set(sides[1:]) == {128}
    sides.clear()
    exhaust(monkeypatch, 100, error)
    with (
        pytest.warns(UserWarning, match="trying again"),
        pytest.raises(RestoreError, match=r"in tiles of 128; choose smaller tiles, such as 64"),
    ):
        restore(network, image)
    for tile in (None, 256):  # a size that was asked for is kept: scores depend on it
        with pytest.raises(RestoreError, match="choose smaller tiles, such as 128"):
            restore(network, image, tile=tile)


def test_every_photo_says_that_its_tiles_were_halved(
    network: EAMamba,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del network
    exhaust(monkeypatch, 64, MemoryError())
    for name in ("a", "b"):
        write_photo(tmp_path / f"{name}.png", 128 - 2 * BORDER)
    photos = [str(tmp_path / f"{name}.png") for name in ("a", "b")]
    assert main(["restore", *photos, "-o", str(tmp_path / "out"), "-t", "denoise_gaussian"]) == 0
    assert capsys.readouterr().err.count("note: not enough memory for 128×128 pixels") == 2


def test_an_error_brought_about_by_another_counts_as_that() -> None:
    consequence = AttributeError("partially initialized module")
    assert not ran_out_of_memory(consequence)
    consequence.__context__ = MemoryError()
    assert ran_out_of_memory(consequence)


def test_a_picture_that_does_not_fit_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    write_photo(tmp_path / "photo.png", 8)
    monkeypatch.setattr(reading, "to_photo", fail)
    with pytest.raises(MemoryError, match=r"photo.png: not enough memory") as caught:
        read_photo(tmp_path / "photo.png")
    assert not isinstance(caught.value, ImageError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DefaultCPUAllocator: can't allocate memory", "not enough memory; lower batch or patch"),
        ("DataLoader worker (pid(s) 9) exited unexpectedly", "lower data.workers"),
    ],
)
def test_a_training_that_does_not_fit_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(text)

    at_iteration(monkeypatch, 2, fail)
    with pytest.raises(TrainingError, match=rf"denoise_gaussian: iteration 2: .*{message}"):
        train(tiny(), tmp_path, progress=False)
    assert not (tmp_path / WEIGHTS).exists()


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("memory_", "memory.")).write_text(text + "\n")


def process(proc: Path, cgroup: str, mount: str) -> Path:
    proc.mkdir()
    (proc / "cgroup").write_text(cgroup)
    other = "20 1 0:5 / /proc rw - proc proc rw\n21 1 0:6 / /odd\n"
    (proc / "mountinfo").write_text(other + mount)
    return proc


def test_limits_of_control_groups_are_found(tmp_path: Path) -> None:
    top = tmp_path / "with space"
    outer, inner = top / "slurm", top / "slurm" / "job"
    group(top, memory_stat="inactive_file 0")  # the root has no limit
    stat = f"anon 5\ninactive_file {MIB}"
    group(outer, memory_max=str(9 * MIB), memory_high="max", memory_current=str(7 * MIB))
    group(outer, memory_stat=stat)
    group(inner, memory_max="max", memory_current=str(6 * MIB), memory_stat=stat)
    mount = f"30 1 0:26 / {str(top).replace(' ', chr(92) + '040')} rw - cgroup2 cgroup2 rw\n"
    proc = process(tmp_path / "2", "0::/slurm/job\n", mount)
    assert cgroup_bytes(proc) == [3 * MIB]
    group(inner, memory_high=str(8 * MIB))
    assert sorted(cgroup_bytes(proc)) == [3 * MIB, 3 * MIB]
    group(inner, memory_max=str(5 * MIB))  # lowered below its use
    assert sorted(cgroup_bytes(proc)) == [0, 3 * MIB]


def test_limits_of_version_1_and_inside_a_container_are_found(tmp_path: Path) -> None:
    numbers = {"limit_in_bytes": str(9 * MIB), "usage_in_bytes": str(4 * MIB)}
    group(tmp_path / "memory", **{f"memory_{name}": text for name, text in numbers.items()})
    group(tmp_path / "memory", memory_stat=f"total_inactive_file {MIB}")
    lines = "4:memory:/docker/abc\n2:cpu:/docker/abc\n0::/\n"
    mount = f"40 1 0:32 /docker/abc {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
    assert cgroup_bytes(process(tmp_path / "1", lines, mount)) == [6 * MIB]
    hidden = f"40 1 0:32 /docker/other {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
    assert cgroup_bytes(process(tmp_path / "hidden", lines, hidden)) == [6 * MIB]
    assert cgroup_bytes(tmp_path / "no such process") == []


def test_the_lowest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eamamba.restore.limits.cgroup_bytes", lambda: [5 * MIB])
    monkeypatch.setattr("eamamba.restore.limits.address_space", lambda: None)
    assert available_memory() == 5 * MIB
    monkeypatch.setattr("eamamba.restore.limits.address_space", lambda: 3 * MIB)
    assert available_memory() == 3 * MIB


@linux
def test_address_space_is_that_of_the_limit() -> None:
    import resource

    usual = resource.getrlimit(resource.RLIMIT_AS)
    if usual[0] != resource.RLIM_INFINITY:
        pytest.skip("the tests run with a limit")
    assert address_space() is None
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**40, usual[1]))
        assert 0.9 * 2**40 < (address_space() or 0) < 2**40
    finally:
        resource.setrlimit(resource.RLIMIT_AS, usual)


def test_what_surely_exceeds_a_limit_is_not_tried(
    network: EAMamba, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = exhaust(monkeypatch, 512, MemoryError())
    monkeypatch.setattr(memory, "address_space", lambda: 192 * MIB)
    with pytest.raises(RestoreError, match="choose smaller tiles, such as 128"):
        restore(network, torch.rand(3, 256, 256), tile=256)
    assert not sides
    assert restore(network, torch.rand(3, 256, 256), tile=64).shape == (3, 256, 256)
    assert set(sides) == {64}


def test_a_limit_too_low_is_told_before_anything_is_computed(
    network: EAMamba, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = exhaust(monkeypatch, 0, MemoryError())
    monkeypatch.setattr(memory, "address_space", lambda: -MIB)
    with pytest.raises(RestoreError, match=r"raise the limit .* by \d+ MiB or more"):
        restore(network, torch.rand(3, 64, 64))
    assert not sides
