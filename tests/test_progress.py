"""In a file, progress is a line a minute; in a terminal, a bar that moves."""

from __future__ import annotations

import io
import sys
from functools import partial
from pathlib import Path

import pytest
import reproduce
from tqdm import tqdm

from eamamba import progress
from eamamba.progress import bar_options

STEPS = 300


class Screen(io.StringIO):
    """Text that goes to a terminal, or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture(autouse=True)
def _outside_of_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delenv(progress.VARIABLE, raising=False)


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, step_s: float) -> str:
    """Return what a bar writes, each step of which takes so many seconds."""
    now, screen = [1000.0], Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    for _ in tqdm(range(STEPS), "task", disable=False, **bar_options(seconds=1)):
        now[0] += step_s
    return screen.getvalue()


@pytest.mark.parametrize("step_s", [1, 7])
def test_a_file_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    text = shown(monkeypatch, terminal=False, step_s=step_s)
    lines = text.splitlines()
    assert not set("\r\x1b") & set(text)
    assert text.endswith("\n")
    assert all(line.startswith("task: ") for line in lines)
    minutes = STEPS * step_s / 60
    assert minutes / 2 < len(lines) <= minutes + 1
    assert "100%" in lines[-1]


def test_a_file_gets_nothing_of_what_takes_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False, step_s=0.1) == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=True, step_s=1).count("\r") > STEPS / 2


@pytest.mark.parametrize(("choice", "moves"), [("bar", True), ("lines", False)])
def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, choice: str, moves: bool) -> None:
    monkeypatch.setenv(progress.VARIABLE, choice)
    assert ("\r" in shown(monkeypatch, terminal=not moves, step_s=1)) == moves


def test_a_reproduction_into_a_file_is_a_line_per_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "LOGS", tmp_path)
    monkeypatch.setattr(reproduce, "DVC", [sys.executable, "-c", ""])
    monkeypatch.setattr(reproduce, "tqdm", partial(tqdm, disable=False))
    reproduce.run([reproduce.Job(name, [name]) for name in "abc"], 2)
    told = capsys.readouterr()
    assert not told.err
    assert "\r" not in told.out
    assert [line.split(",")[0] for line in told.out.splitlines()] == [
        *("  1 of 3: a", "  2 of 3: b", "  3 of 3: c")
    ]


def test_nothing_is_shown_where_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(tqdm(range(3), disable=False, **bar_options() | {"delay": 0})) == [0, 1, 2]
