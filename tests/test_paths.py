"""Where data sets are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from eamamba import paths


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("EAMAMBA_DATA", raising=False)
    (tmp_path / "data" / "mine").mkdir(parents=True)
    monkeypatch.setenv("EAMAMBA_ROOT", str(tmp_path))
    return tmp_path


def test_data_lies_in_the_project_or_where_the_variable_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.dataset("data/mine") == project / "data" / "mine"
    assert paths.dataset("data/missing") == project / "data" / "missing"
    monkeypatch.setenv("EAMAMBA_DATA", str(project / "elsewhere"))
    assert paths.dataset("data/missing") == project / "elsewhere" / "missing"
    assert paths.dataset("data/mine") == project / "data" / "mine"  # such as the photographs
    (project / "elsewhere" / "mine").mkdir(parents=True)
    assert paths.dataset("data/mine") == project / "elsewhere" / "mine"


def test_a_queued_experiment_finds_data_that_git_ignores(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    (copy / "data" / "tracked").mkdir(parents=True)
    monkeypatch.setenv("EAMAMBA_ROOT", str(copy))
    assert paths.dataset("data/mine") == project / "data" / "mine"
    assert paths.dataset("data/tracked") == copy / "data" / "tracked"
    assert paths.dataset("data/missing") == copy / "data" / "missing"
