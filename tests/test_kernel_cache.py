"""Kernels run where what was compiled cannot be kept: slower to start, and said once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eamamba.images import write_image

PACKAGE = Path(__file__).parents[1] / "eamamba"
NOTE = "note: Numba's cache is damaged or cannot be written, so kernels are compiled"
# What a process does before it becomes the program: permissions hold for root too from then on.
WITHOUT_CAPABILITIES = """
import ctypes, os, sys
for capability in range(64):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-m", "eamamba", *sys.argv[1:]])
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Copy the package with the weights of one task and without what was compiled."""
    ignored = shutil.ignore_patterns("__pycache__", "[d-s]*.safetensors")
    shutil.copytree(PACKAGE, tmp_path / "site" / "eamamba", ignore=ignored)
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", torch.zeros(3, 16, 16))
    return tmp_path


def restore(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Restore two photographs with that package, by a process whom permissions bind."""
    words = ["restore", "a.png", "b.png", "-o", "out/", "-t", "compact_denoiser"]
    unset = {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}
    usual = {name: value for name, value in os.environ.items() if name not in unset}
    paths = {"PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CAPABILITIES, *words],
        cwd=folder,
        env=usual | paths | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "out").iterdir())) == 2
    return done


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_read_only_package_without_a_home_compiles_and_says_so_once(installed: Path) -> None:
    home = installed / "home"
    home.mkdir(mode=0o555)
    folders = [path for path in (installed / "site").rglob("*") if path.is_dir()]
    for folder in (installed / "site", *folders):
        folder.chmod(0o555)
    try:
        done = restore(installed, HOME=str(home))
    finally:
        for folder in (installed / "site", *folders):
            folder.chmod(0o755)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(NOTE)
    assert "NUMBA_CACHE_DIR" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_damaged_cache_is_no_obstacle(installed: Path) -> None:
    cache = installed / "cache"
    assert not restore(installed, NUMBA_CACHE_DIR=str(cache)).stderr
    kept = [path for path in cache.rglob("*.nb?")]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:9])
    assert restore(installed, NUMBA_CACHE_DIR=str(cache)).stderr.startswith(NOTE)
