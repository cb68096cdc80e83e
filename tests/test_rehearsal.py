"""Rehearsals: a few steps of every stage of every task, on the user's data or on made-up ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from published_tasks import paper
from published_trees import TREES, pixels, write, write_folders

from eamamba.cli.rehearsing import show_rehearsal
from eamamba.config import EAMambaSettings, TaskSettings
from eamamba.datasets import DatasetError
from eamamba.datasets.made_up import made_up_training_set
from eamamba.datasets.training import training_patches
from eamamba.training import TrainingError, rehearsal
from eamamba.training.memory import needed_bytes
from eamamba.training.processes import Processes

MADE_UP = {"pairs": (("input/{n:04}.png", "target/{n:04}.png"), (48, 48))}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder for data sets."""
    monkeypatch.setenv("EAMAMBA_DATA", str(tmp_path))
    return tmp_path


def small(name: str, patches: tuple[int, ...] = (24, 48)) -> TaskSettings:
    """Return a task of the paper with its data, small stages and a small network."""
    settings = paper(name)
    changes = {"dim": 8, "num_blocks": [1, 1, 1, 1], "mamba_cfg": {"scan_count": 4, "d_state": 4}}
    if isinstance(settings.model, EAMambaSettings):
        changes["num_refinement_blocks"] = 1
    stages = [{"patch": patch, "batch": 2, "iterations": 1000} for patch in patches]
    values = settings.model_dump()
    values["model"] |= changes
    values["training"] |= {"stages": stages}
    values["data"] |= {"workers": 0}
    return TaskSettings.model_validate(values)


@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
def test_every_task_is_rehearsed_on_its_published_sets(name: str, data: Path) -> None:
    settings = small(name)
    TREES[name](data)
    before = {path for path in data.rglob("*") if path.is_file()}
    tried = rehearsal.rehearse(settings, progress=False)
    assert not tried.made_up
    stages = tried.stages
    assert stages["micro_batch"].tolist() == [2, 2]
    assert stages["recomputed"].tolist() == [0, 0]
    assert stages["timed"].tolist() == [2, 2]
    assert (stages[["peak_gib", "step_s", "loading_s"]] > 0).all(axis=None)
    seconds = stages["step_s"] + stages["loading_s"]
    assert stages["days"].tolist() == pytest.approx((seconds * 1000 / 86400).tolist())
    assert tried.days == pytest.approx(stages["days"].sum())
    assert {path for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", TREES)
def test_made_up_sets_are_read_like_the_published_ones(name: str, tmp_path: Path) -> None:
    settings = small(name)
    made_up = made_up_training_set(settings.data, tmp_path, size=(48, 36))
    degraded, clean = training_patches(made_up, 24, 4, seed=0)[3]
    side = 24 // settings.scale
    assert degraded.shape == (settings.model.inp_channels, side, side)
    assert clean.shape == (3, 24, 24)
    assert made_up.training_set.keys() == settings.data.training_set.keys()


def test_pictures_are_made_up_only_where_there_is_no_set(data: Path) -> None:
    settings = small("derain", (24,))
    tried = rehearsal.rehearse(settings, steps=2, made_up_size=(40, 32), progress=False)
    assert tried.made_up
    write_folders(data, "Rain13K")
    write(data / "Rain13K/input/alone.png", pixels(0))
    with pytest.raises(DatasetError, match=r"alone\.png has no partner"):
        rehearsal.rehearse(settings, steps=2, progress=False)


@pytest.mark.parametrize(("images", "said"), [(2.5, False), (1.5, True)])
@pytest.mark.usefixtures("data")
def test_what_was_not_run_is_said(
    images: float, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = small("derain", (24,))
    fixed, each = needed_bytes(settings, 24, 1, 0)
    monkeypatch.setattr(Processes, "free_bytes", lambda _: int(fixed + images * each))
    monkeypatch.setattr("eamamba.datasets.made_up._LAYOUTS", MADE_UP)
    show_rehearsal(settings, "cpu")
    output = capsys.readouterr().out
    assert ("extrapolated from the steps run" in output) == said
    assert ("1 of 2 images at a time, to fit memory" in output) == said


@pytest.mark.usefixtures("data")
def test_memory_decides_how_much_is_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small("derain", (24, 48))
    fixed, kept = needed_bytes(settings, 48, 1, 0)
    _, less = needed_bytes(settings, 48, 1, 1)
    assert less < 0.5 * kept

    def rehearse(bytes_for_images: float) -> rehearsal.Rehearsal:
        monkeypatch.setattr(Processes, "free_bytes", lambda _: int(bytes_for_images) + fixed)
        return rehearsal.rehearse(settings, steps=2, made_up_size=(48, 48), progress=False)

    stages = rehearse(1.5 * kept).stages
    assert stages["micro_batch"].tolist() == [2, 1]
    assert stages["recomputed"].tolist() == [0, 0]
    assert stages["timed"].tolist() == [2, 1], "one pass on a CPU; the other takes as long"
    stages = rehearse(1.01 * less).stages
    assert stages["micro_batch"].tolist() == [1, 1]
    assert stages["recomputed"].tolist()[1] > 0.5
    tried = rehearse(0.7 * less)
    assert tried.stages["micro_batch"].tolist()[1] == tried.stages["timed"].tolist()[1] == 0
    assert math.isnan(tried.days)
    with pytest.raises(TrainingError, match="not enough memory for a single patch"):
        rehearse(0)
