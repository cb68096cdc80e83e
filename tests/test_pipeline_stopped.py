"""However the pipeline is ended, its notebooks end too, and what they train is saved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

ROOT = Path(__file__).parents[1]
# Like a training: it saves when it is interrupted.
CELL = """
import os, time, pathlib
pathlib.Path("started").write_text(str(os.getpid()))
try:
    time.sleep(600)
except KeyboardInterrupt as stop:
    pathlib.Path("saved").touch()
    raise KeyboardInterrupt("saved; run the same again") from None
"""
# Starts a stage as DVC does, with a shell in between.
DVC = "import subprocess, sys; subprocess.run(['sh', '-c', sys.argv[1] + '; exit $?'])"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cells = [nbformat.v4.new_code_cell(CELL)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    (tmp_path / "dvc").write_text(DVC)
    return tmp_path


@pytest.fixture
def pipeline(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a stage by a program that is called dvc, and wait until its cell runs."""
    stage = f"{sys.executable} {ROOT}/pipeline/run.py in.ipynb out.ipynb"
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "dvc", stage],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(lambda: (folder / "started").is_file() and kernel(folder) is not None)
        yield process
        process.kill()  # the rest ends by itself: what is tested here


def kernel(folder: Path) -> int | None:
    text = (folder / "started").read_text()
    return int(text) if text else None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, "interrupt"])
def test_killing_the_pipeline_leaves_no_orphan(
    folder: Path, pipeline: subprocess.Popen[str], number: signal.Signals | str
) -> None:
    stages = psutil.Process(pipeline.pid).children(recursive=True)
    assert kernel(folder) in {process.pid for process in stages}
    if isinstance(number, str):
        os.killpg(pipeline.pid, signal.SIGINT)  # Ctrl-C in a terminal: all but the kernel get it
    else:
        pipeline.send_signal(number)
    wait_for(lambda: all(ended(process) for process in stages))
    assert (folder / "saved").is_file()
    assert not (folder / "out.ipynb").exists()
    assert pipeline.stderr is not None
    assert "saved; run the same again" in pipeline.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_stage_ends_it_with_its_status(
    folder: Path, pipeline: subprocess.Popen[str], number: signal.Signals
) -> None:
    (stage,) = [p for p in psutil.Process(kernel(folder)).parents() if "run.py" in p.cmdline()[1]]
    stage.send_signal(number)
    pipeline.wait()
    wait_for(lambda: ended(stage))
    assert (folder / "saved").is_file()
    assert not (folder / "out.ipynb").exists()


def test_a_kernel_that_is_killed_is_one_line(folder: Path, pipeline: subprocess.Popen[str]) -> None:
    number = kernel(folder)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    pipeline.wait()
    assert pipeline.stderr is not None
    assert "in.ipynb: the system killed its process" in pipeline.stderr.read().splitlines()[-1]
