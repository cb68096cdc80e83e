"""On a full disk a command says which file it could not write, and leaves the old one whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_files import files, lines_said, network, one_error, picture

from eamamba.checkpoint import load_model, save_model

Run = Callable[..., tuple[int, str, str]]
TRAIN = ("train", "denoise_gaussian", "--device", "cpu", "-o")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk, which root has on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, free_bytes: int) -> None:
    """Leave so much room."""
    left = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(left.f_bavail * left.f_frsize - free_bytes))


def change(project: Path, **recipe: int) -> None:
    """Change the recipe of the smoke profile."""
    text = (project / "params.yaml").read_text()
    for name, value in recipe.items():
        text = text.replace(f"      {name}: ", f"      {name}: {value} # ", 1)
    (project / "params.yaml").write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights(run: Run, disk: Path, project: Path) -> None:
    change(project, checkpoint_every=100)
    out = disk / "out"
    save_model(network(changes=False), out / "model.safetensors")
    before = contents(out)
    fill(disk, 3 * 4096)  # enough for the curve and the log
    status, _, errors = run(*TRAIN, out, "--fresh")
    assert status == 2
    assert one_error(errors) == f"error: {out / 'model.safetensors'}: No space left on device"
    assert (out / "model.safetensors").read_bytes() == before["model.safetensors"]
    assert files(out) == ["model.safetensors", "training.csv", "training.log"]
    load_model(out / "model.safetensors")


def test_state(run: Run, disk: Path, project: Path) -> None:
    change(project, checkpoint_every=2)
    out = disk / "out"
    assert run(*TRAIN, out, "--time-limit", "0")[0] == 0
    before = contents(out)
    fill(disk, 8192)
    status, _, errors = run(*TRAIN, out)
    assert status == 2
    resuming, error = lines_said(errors)
    assert resuming == "Resuming from iteration 1"
    assert error == f"error: {out / 'training_state.pt'}: No space left on device"
    assert (out / "training_state.pt").read_bytes() == before["training_state.pt"]
    assert files(out) == ["training.csv", "training.log", "training_state.pt"]
    (disk / "filler").unlink()
    assert run(*TRAIN, out)[0] == 0
    assert files(out) == ["model.safetensors", "training.csv", "training.log"]


def test_results(run: Run, disk: Path, weights: Path) -> None:
    out = disk / "out"
    command = ("evaluate", "denoise_gaussian", "-w", weights, "-o", out, "--device", "cpu")
    assert run(*command)[0] == 0
    before = contents(out)
    fill(disk, 0)
    status, _, errors = run(*command)
    assert status == 2
    assert "No space left on device" in one_error(errors)
    assert str(out) in errors
    assert contents(out) == before


def test_photos(run: Run, disk: Path, tmp_path: Path, weights: Path) -> None:
    photos = [picture(tmp_path / "in" / "large.png", 200, 200), picture(tmp_path / "in" / "s.png")]
    out = disk / "out"
    command = ("restore", *photos, "-w", weights, "-o", f"{out}/", "--device", "cpu")
    assert run(*command)[0] == 0
    before = contents(out)
    fill(disk, 8192)
    status, output, errors = run(*command)
    assert status == 2
    large, small = (out / photo.name for photo in photos)
    assert str(large) in one_error(errors)
    assert "No space left on device" in errors
    assert f"written to {small}" in output
    assert contents(out) == before
