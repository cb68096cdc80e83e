"""The log of a training: what it did, when, and why it ended."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from tiny_training import LOG, WEIGHTS, at_iteration, contents, tiny

from eamamba.config import SettingsError, Stage
from eamamba.training import Trainer, TrainingError, TrainingInterrupted, train
from eamamba.training.log import Pace

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d "


def said(folder: Path) -> list[str]:
    """Return the lines of a log without their times."""
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    assert all(re.match(TIME, line) for line in lines), lines
    return [re.sub(f"^{TIME}", "", line) for line in lines]


def test_a_line_for_each_row_of_the_curve(tmp_path: Path) -> None:
    train(tiny(), tmp_path, progress=False)
    started, *steps, finished = said(tmp_path)
    assert started == "started: 6 iterations of denoise_gaussian (smoke), 1 process on cpu"
    numbers = r"loss [\d.]+, learning rate [\d.e-]+, [\d.e+]+ images/s, peak memory [\d.]+ GiB"
    for step, iteration in zip(steps, (2, 4, 6), strict=True):
        assert re.fullmatch(rf"iteration {iteration} of 6: {numbers}, \d+:\d\d:\d\d left", step)
    assert steps[-1].endswith("0:00:00 left")
    assert finished == f"finished: {tmp_path / WEIGHTS}"


def test_every_run_appends(tmp_path: Path) -> None:
    train(tiny(), tmp_path, progress=False, time_limit_s=0)
    train(tiny(), tmp_path, progress=False)
    train(tiny(), tmp_path, progress=False, resume=False)
    lines = [line for line in said(tmp_path) if not line.startswith("iteration")]
    beginning = "of denoise_gaussian (smoke), 1 process on cpu"
    assert lines == [
        f"started: 6 iterations {beginning}",
        "ended: time limit at iteration 1",
        f"resumed from iteration 1 of 6 {beginning}",
        f"finished: {tmp_path / WEIGHTS}",
        f"started: 6 iterations {beginning}",
        f"finished: {tmp_path / WEIGHTS}",
    ]


def test_an_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Trainer) -> None:
        raise ZeroDivisionError("a\nmistake")

    at_iteration(monkeypatch, 3, fail)
    with pytest.raises(ZeroDivisionError):
        train(tiny(), tmp_path, progress=False)
    assert said(tmp_path)[-1] == "ended: ZeroDivisionError: a mistake"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_iteration(monkeypatch, 3, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterrupted) as end:
        train(tiny(), tmp_path, progress=False)
    assert said(tmp_path)[-1] == f"ended: {end.value}"


def test_a_refused_state_is_one_line(tmp_path: Path) -> None:
    train(tiny(), tmp_path, progress=False, time_limit_s=0)
    with pytest.raises(SettingsError) as end:
        train(tiny(seed=3), tmp_path, progress=False)
    assert said(tmp_path)[-1] == f"ended: {end.value}"


def test_a_refused_folder_gets_no_line(tmp_path: Path) -> None:
    train(tiny(), tmp_path, progress=False)
    before = said(tmp_path)
    with pytest.raises(TrainingError, match="finished weights"):
        train(tiny(), tmp_path, progress=False)
    assert said(tmp_path) == before


def test_a_log_that_cannot_be_written_hinders_nothing(tmp_path: Path) -> None:
    (tmp_path / "with" / LOG).mkdir(parents=True)
    train(tiny(), tmp_path / "without", progress=False)
    train(tiny(), tmp_path / "with", progress=False)
    (tmp_path / "with" / LOG).rmdir()
    assert contents(tmp_path / "with") == contents(tmp_path / "without")


def test_time_left_follows_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 110.0, 115.0))
    monkeypatch.setattr("eamamba.training.log.time.perf_counter", lambda: next(clock))
    small = Stage(patch=8, batch=4, iterations=2)
    large = Stage(patch=16, batch=4, iterations=3)
    pace = Pace(tiny(stages=(small, large)).training, "cpu")
    for _ in range(2):
        pace.add(small)
    assert re.fullmatch(r"0.8 images/s, .* 0:01:00 left", pace.since_last(2))  # 2 × 4 in 10 s
    pace.add(large)
    assert re.fullmatch(r"0.8 images/s, .* 0:00:10 left", pace.since_last(3))
