"""Several processes train as one does, and end as one does; batches are cut to fit memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import PARAMS, tiny

from eamamba.config import SettingsError, Stage, TaskSettings, load_settings
from eamamba.training import plan, train
from eamamba.training.memory import fitting_cut, kept_bytes, needed_bytes
from eamamba.training.trainer import accelerator_for

SCENARIOS = (
    *(
        "equal",
        "validated",
        "killed",
        "interrupted",
        "lost",
        "full_disk",
        "unreadable",
        "refused",
        "diverged",
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute, on cores that others use too
@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have loaded PyTorch")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_several_processes(tmp_path: Path, scenario: str) -> None:
    script = Path(__file__).with_name("several_processes.py")
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), scenario, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def cut_to_fit(settings: TaskSettings, free_bytes: int) -> tuple[int, int, float]:
    recipe = settings.training.model_copy(update={"micro_batch": "auto"})
    stage = Stage(patch=32, batch=16, iterations=1)
    settings = settings.model_copy(update={"training": recipe})
    cut = fitting_cut(settings, stage, 2, free_bytes)
    return cut.micro_batch, cut.passes, cut.recomputed


def test_batches_are_cut_before_anything_is_recomputed() -> None:
    settings = tiny()
    fixed, each = needed_bytes(settings, 32, 2, 0)
    assert cut_to_fit(settings, fixed + 8 * each) == (8, 1, 0)
    assert cut_to_fit(settings, fixed + 7 * each) == (4, 2, 0)
    assert cut_to_fit(settings, fixed + each) == (1, 8, 0)
    assert cut_to_fit(settings, fixed + each - 1)[2] > 0
    assert cut_to_fit(settings, 0) == (1, 8, 1)


def test_recomputing_and_bfloat16_keep_less() -> None:
    model = load_settings(PARAMS, "paper").task("denoise_gaussian").model
    recomputed = model.model_copy(update={"checkpoint_percentage": 1.0})
    everything = kept_bytes(model, 64)
    assert kept_bytes(recomputed, 64) < everything / 5
    assert everything / 2 < kept_bytes(model, 64, half=True) < everything


def test_plan_is_for_each_device() -> None:
    paper = load_settings(PARAMS, "paper").task("denoise_gaussian")
    eight, one = plan(paper, 8, 80 * 2**30), plan(paper, 1, 80 * 2**30)
    batches = [stage.batch for stage in paper.training.stages]
    for table, devices in ((eight, 8), (one, 1)):
        assert (table["memory_gib"] < 80).all()
        covered = table["micro_batch"] * table["passes"] * devices
        assert (covered >= batches).all()
        assert (covered < [batch + table["passes"].max() * devices for batch in batches]).all()
    assert math.isclose(eight["teraflops"].sum(), one["teraflops"].sum())


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", "device 'tpu': expected cpu, cuda or a device such as cuda:1"),
        ("cuda:x", "expected cpu, cuda"),
        ("cuda:99", "no such CUDA device here"),
    ],
)
def test_devices_that_are_not_here(tmp_path: Path, device: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        train(tiny(), tmp_path, device=device, progress=False)
    assert not list(tmp_path.iterdir())


def test_precision_of_the_launcher_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(SettingsError, match=r"bf16, training\.precision is float32"):
        accelerator_for(tiny().training, "cpu")
