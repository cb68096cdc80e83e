"""Signals, locks and finished weights: a training is ended without loss, and destroys nothing."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_training import CURVE, FINISHED, PARAMS, WEIGHTS, at_iteration, contents, names, tiny
from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.datasets.patches import PatchDataset
from eamamba.files import write_atomically
from eamamba.training import STATE_FILE, TrainingError, TrainingInterrupted, train
from eamamba.training.folder import LOCK_FILE, reserved
from eamamba.training.signals import SIGNALS

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Train to the end."""
    assert train(tiny(), tmp_path / "finished", progress=False) is not None
    return tmp_path / "finished"


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_after_the_step_and_saves(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    usual = signal.getsignal(number)
    folder = tmp_path / "parts"
    with monkeypatch.context() as disturbed:
        at_iteration(disturbed, 3, lambda _: os.kill(os.getpid(), number))
        with pytest.raises(
            TrainingInterrupted, match=r"iteration 3 of 6; saved in .*resume"
        ) as end:
            train(tiny(), folder, progress=False)
    assert end.value.number == number
    assert isinstance(end.value, KeyboardInterrupt)
    assert signal.getsignal(number) == usual
    assert (folder / STATE_FILE).is_file()
    train(tiny(), folder, progress=False)
    assert contents(folder) == contents(finished)


@posix
def test_signal_while_data_loads_needs_no_further_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = PatchDataset.__getitem__

    def interrupting(patches: PatchDataset, index: int) -> object:
        if index == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return item(patches, index)

    monkeypatch.setattr(PatchDataset, "__getitem__", interrupting)
    # one batch is fetched ahead: the third step waits for the fourth batch
    with pytest.raises(TrainingInterrupted, match="iteration 2 of 6"):
        train(tiny(), tmp_path, progress=False)


@posix
def test_second_signal_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def insist(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_iteration(monkeypatch, 1, insist)
    with pytest.raises(KeyboardInterrupt) as end:
        train(tiny(), tmp_path, progress=False)
    assert not isinstance(end.value, TrainingInterrupted)
    assert not (tmp_path / STATE_FILE).exists()


@posix
def test_ignored_signals_stay_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        at_iteration(monkeypatch, 2, lambda _: os.kill(os.getpid(), signal.SIGHUP))
        assert train(tiny(), tmp_path, progress=False) is not None
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_training_runs_outside_the_main_thread(tmp_path: Path, finished: Path) -> None:
    thread = threading.Thread(target=train, args=(tiny(), tmp_path / "thread"), daemon=True)
    thread.start()
    thread.join()
    assert contents(tmp_path / "thread") == contents(finished)


def test_wrong_data_folder_touches_nothing(tmp_path: Path, finished: Path) -> None:
    before = contents(finished)
    nowhere = tiny(data={"training_set": {"photos": str(tmp_path / "nowhere")}})
    for fresh in (False, True):
        with pytest.raises(DatasetError, match="nowhere"):
            train(nowhere, finished, resume=not fresh, progress=False)
        assert contents(finished) == before
    with pytest.raises(DatasetError):
        train(nowhere, tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def test_finished_weights_are_replaced_on_demand_only(finished: Path) -> None:
    before = contents(finished)
    with pytest.raises(TrainingError, match=r"finished weights are here; .*--fresh"):
        train(tiny(seed=1), finished, progress=False)
    assert contents(finished) == before
    train(tiny(seed=1), finished, resume=False, progress=False)
    after = contents(finished)
    assert after.keys() == before.keys()
    assert after[WEIGHTS] != before[WEIGHTS]


def test_finished_weights_stay_until_new_ones_are_whole(finished: Path) -> None:
    before = contents(finished)
    train(tiny(seed=1), finished, resume=False, progress=False, time_limit_s=0)
    assert (finished / WEIGHTS).read_bytes() == before[WEIGHTS]
    train(tiny(seed=1), finished, progress=False)  # resumes, so it may replace them
    assert (finished / WEIGHTS).read_bytes() != before[WEIGHTS]


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    with reserved(tmp_path):
        with pytest.raises(TrainingError, match="another training is running there"):
            train(tiny(), tmp_path, progress=False)
        assert names(tmp_path) == {LOCK_FILE}
    assert train(tiny(), tmp_path, progress=False) is not None
    assert names(tmp_path) == FINISHED


@posix
def test_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from eamamba.training.folder import reserved\n"
        "with reserved(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            with pytest.raises(TrainingError, match="another training"), reserved(tmp_path):
                pass
        finally:
            other.kill()
    with reserved(tmp_path):
        assert names(tmp_path) == {LOCK_FILE}
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", [STATE_FILE, CURVE, WEIGHTS])
def test_leftovers_of_killed_writes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: None)  # as if killed before it
        write_atomically(tmp_path / name, b"half")
    assert len(names(tmp_path)) == 1
    (tmp_path / ".other.tmp").write_bytes(b"of another program")
    train(tiny(), tmp_path, progress=False)
    assert names(tmp_path) == FINISHED | {".other.tmp"}


class EndsOneProcess:
    """Like a CUDA graph: only the process that made it may destroy it."""

    def __init__(self) -> None:
        self.itself = self  # only the garbage collector destroys it
        self.maker = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.maker:
            os._exit(1)


class Collected(PatchDataset):
    """Patches whose process collects garbage before each."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        gc.collect()
        return super().__getitem__(index)


@posix
def test_loader_workers_destroy_nothing_that_they_inherit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eamamba.datasets.training.PatchDataset", Collected)
    gc.disable()
    try:
        EndsOneProcess()
        assert train(tiny(data={"workers": 2}), tmp_path, progress=False) is not None
    finally:
        gc.enable()
