"""A project of its own for each test of the command line, and a way to run it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_files import PARAMS, network

from eamamba import paths
from eamamba.checkpoint import save_model
from eamamba.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line: exit status, output, errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        assert "Traceback" not in errors
        return status, output, errors

    return call


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty project that has the settings of this one, and no weights."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(PARAMS, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("EAMAMBA_ROOT", raising=False)
    monkeypatch.setenv("EAMAMBA_PROFILE", "smoke")
    monkeypatch.setattr(paths, "PRETRAINED", tmp_path / "pretrained")
    return folder


@pytest.fixture
def weights(project: Path) -> Path:
    """Save weights that leave every photo as it is."""
    path = project / "results/smoke/denoise_gaussian/model.safetensors"
    save_model(network(changes=False), path, task="denoise_gaussian")
    return path
