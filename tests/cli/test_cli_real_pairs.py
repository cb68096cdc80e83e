"""Published sets from the command line: which folder, which weights, what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_files import files, one_error, picture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    """Write a folder with one photograph of one set."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    picture(folder / "CBSD68" / "photo.png", 40, 48)
    return folder


@pytest.mark.usefixtures("weights")
def test_a_profile_is_scored_on_the_folder_of_the_variable(
    run: Run, project: Path, benchmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAMAMBA_BENCHMARKS", str(benchmarks))
    status, output, _ = run("real-pairs", "--profile", "smoke", "--device", "cpu")
    assert status == 0
    assert "| Gaussian noise | CBSD68, σ = 25 | 1 |" in output
    folder = project / "results" / "smoke" / "real_pairs"
    assert files(folder) == ["per_image.csv", "summary.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no folder: name one, or set EAMAMBA_BENCHMARKS"),
        (["nowhere"], "nowhere: no such folder; expected one with CBSD68"),
        ([".", "--task", "derian"], "no sets for 'derian' (did you mean 'derain'?)"),
        (["."], "nothing to score; expected folders such as CBSD68"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.delenv("EAMAMBA_BENCHMARKS", raising=False)
    status, _, errors = run("real-pairs", *words)
    assert status == 2
    assert message in one_error(errors)
    assert files(project) == ["params.yaml"]
