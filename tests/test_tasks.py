"""Every task of the paper: its published recipe, its test, and that it runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml

from eamamba.checkpoint import load_model
from eamamba.config import (
    DEGRADATION_KINDS,
    EAMambaSettings,
    EAMambaSRSettings,
    LayoutName,
    SettingsError,
    TaskSettings,
    load_settings,
)
from eamamba.datasets import LAYOUTS, PUBLISHED
from eamamba.degradations import DEGRADATIONS
from eamamba.evaluation import evaluate
from eamamba.network import build
from eamamba.report import protocol_label
from eamamba.training import learning_rate, train

ROOT = Path(__file__).parents[1]
UNET = ["denoise_gaussian", "deblur_motion", "deblur_defocus", "deblur_defocus_dual"]
UNET += ["dehaze_indoor", "dehaze_outdoor", "derain"]
SR_REAL = ["sr_real_x2", "sr_real_x3", "sr_real_x4"]
SR_LIGHT = ["sr_light_x2", "sr_light_x3", "sr_light_x4"]
TASKS = [*UNET, "denoise_real", *SR_REAL, *SR_LIGHT]
GPUS = 8
PROFILES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["profiles"]


def task(profile: str, name: str) -> TaskSettings:
    return load_settings(ROOT / "params.yaml", profile).task(name)


def stages(name: str) -> list[tuple[int, int, int]]:
    """Patch, batch on each of the paper's GPUs, iterations."""
    recipe = task("paper", name).training
    return [(stage.patch, stage.batch // GPUS, stage.iterations) for stage in recipe.stages]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_every_task(profile: str) -> None:
    assert sorted(load_settings(ROOT / "params.yaml", profile).tasks) == sorted(TASKS)


def test_names_in_the_settings_are_those_of_the_code() -> None:
    assert set(DEGRADATION_KINDS) == set(DEGRADATIONS)
    assert set(get_args(LayoutName)) == {"photographs", *LAYOUTS}


@pytest.mark.parametrize("name", TASKS)
def test_recipe_all_tasks_share(name: str) -> None:
    recipe = task("paper", name).training
    assert recipe.betas == (0.9, 0.999)
    assert recipe.clip_gradient_norm == 0.01
    assert recipe.ema_decay == 0.999
    assert recipe.weight_decay == (0 if name in SR_LIGHT else 1e-4)
    assert all(stage.batch % GPUS == 0 for stage in recipe.stages)


@pytest.mark.parametrize("name", UNET)
def test_recipe_of_the_unet_tasks(name: str) -> None:
    sizes, batches = (128, 160, 192, 256, 320, 384), (8, 5, 4, 2, 1, 1)
    iterations = (138_000, 96_000, 72_000, 54_000, 54_000, 36_000)
    assert stages(name) == list(zip(sizes, batches, iterations, strict=True))
    recipe = task("paper", name).training
    assert [learning_rate(t, recipe) for t in (0, 138_000)] == [3e-4, 3e-4]
    middle = 1e-6 + 0.5 * (3e-4 - 1e-6) * (1 + math.cos(math.pi * 100_000 / 312_000))
    assert learning_rate(238_000, recipe) == pytest.approx(middle)
    assert learning_rate(450_000, recipe) == pytest.approx(1e-6)


def test_recipe_of_real_noise() -> None:
    expected = [(128, 8, 138_000), (160, 5, 96_000), (192, 4, 72_000), (256, 2, 144_000)]
    assert stages("denoise_real") == expected
    recipe = task("paper", "denoise_real").training
    assert learning_rate(450_000, recipe) == pytest.approx(1e-6)


@pytest.mark.parametrize("name", SR_REAL)
def test_recipe_of_real_super_resolution(name: str) -> None:
    assert stages(name) == [(128, 8, 30_000)]
    recipe = task("paper", name).training
    assert {learning_rate(t, recipe) for t in range(0, 30_001, 1000)} == {3e-4}


@pytest.mark.parametrize(("name", "patch"), [*zip(SR_LIGHT, (128, 192, 256), strict=True)])
def test_recipe_of_light_super_resolution(name: str, patch: int) -> None:
    assert stages(name) == [(patch, 8, 500_000)]
    recipe = task("paper", name).training
    milestones = [250_000, 400_000, 450_000, 475_000]
    for halvings, milestone in enumerate(milestones):
        assert learning_rate(milestone - 1, recipe) == pytest.approx(2e-4 * 0.5**halvings)
        assert learning_rate(milestone, recipe) == pytest.approx(1e-4 * 0.5**halvings)


def test_networks_of_the_paper() -> None:
    for name in TASKS:
        model = task("paper", name).model
        if name in SR_LIGHT:
            assert model == EAMambaSRSettings(upscale=int(name[-1]))
        elif name == "deblur_defocus_dual":
            assert model == EAMambaSettings(inp_channels=6, dual_pixel_task=True)
        else:
            assert model == EAMambaSettings()


@pytest.mark.parametrize("profile", PROFILES)
def test_each_task_is_tested_by_its_published_protocol(profile: str) -> None:
    names = {
        "denoise_real": "RGB PSNR and volume SSIM",
        "deblur_motion": "RGB PSNR and volume SSIM on 8-bit images",
        "derain": "Y PSNR and SSIM",
    }
    names |= dict.fromkeys(SR_REAL, "Y PSNR and SSIM")
    names |= {name: f"Y PSNR and SSIM, {name[-1]}-pixel border cut" for name in SR_LIGHT}
    for name in TASKS:
        protocol = task(profile, name).evaluation.protocol
        assert protocol_label(protocol) == names.get(name, "RGB PSNR and SSIM"), name
        assert protocol.tile == (2048 if name in SR_REAL else None)
        assert not task(profile, name).evaluation.self_ensemble


@pytest.mark.parametrize("name", TASKS)
def test_published_sets_of_the_paper_are_known(name: str) -> None:
    data = task("paper", name).data
    for dataset in data.training_set:
        assert PUBLISHED[dataset].expected("training", data.layout)
    for dataset in data.benchmarks:
        assert PUBLISHED[dataset].expected("benchmark", data.layout)
        assert PUBLISHED[dataset].homepage.startswith("https://")


def test_benchmarks_are_those_of_the_paper() -> None:
    reported = pd.read_csv(ROOT / "data/paper/paper_results.csv")
    for name, rows in reported.groupby("task"):
        assert set(task("paper", str(name)).data.benchmarks) == set(rows["benchmark"])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_and_is_evaluated(name: str, tmp_path: Path) -> None:
    smoke = task("smoke", name)
    short = tuple(s.model_copy(update={"iterations": 2}) for s in smoke.training.stages)
    recipe = smoke.training.model_copy(update={"stages": short, "log_every": 1})
    smoke = smoke.model_copy(update={"training": recipe})
    weights = train(smoke, tmp_path, progress=False)
    assert weights is not None
    curve = pd.read_csv(tmp_path / "training.csv")
    assert curve["loss"].between(0, 2).all()
    metrics = evaluate(load_model(weights), smoke, tmp_path, progress=False)
    (means,) = [part for part in metrics["held-out photographs"].values()][-1:]
    assert means["images"] == 3
    psnr_input_db = means["psnr_input_db"]
    assert psnr_input_db is not None
    assert 9 < psnr_input_db < 45
    columns = list(pd.read_csv(tmp_path / "per_image.csv"))
    scores = ["psnr_input_db", "psnr_db", "ssim_input", "ssim"]
    assert columns[:7] == ["benchmark", "image", "condition", *scores]


def with_task(name: str, **changes: object) -> dict[str, object]:
    values = task("smoke", name).model_dump()
    for path, value in changes.items():
        group, key = path.split("__")
        values[group] = values[group] | {key: value}
    return values


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("sr_light_x3", {"data__degradation": "bicubic_x2"}, "shrinks images 2 times"),
        ("derain", {"data__degradation": "bicubic_x2"}, "the model enlarges them 1 times"),
        ("derain", {"data__degradation": "dual_pixel_defocus"}, "gives 6 channels"),
        ("deblur_defocus_dual", {"data__degradation": "rain"}, "gives 3 channels"),
        (
            "sr_light_x3",
            {"training__stages": [{"patch": 32, "batch": 1, "iterations": 1}]},
            "expected a multiple of the scale 3",
        ),
        ("derain", {"data__training_set": {}}, "at least 1"),
    ],
)
def test_settings_that_do_not_fit_together(name: str, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSettings.model_validate(with_task(name, **changes))


def test_laptop_networks_are_small() -> None:
    for name in TASKS:
        settings = task("laptop", name)
        size = sum(p.numel() for p in build(settings.model).parameters())
        assert size < (5e6 if settings.training.initial_weights else 1.5e6), name


def test_unknown_task_in_a_profile_is_suggested(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    wrong = text.replace("      sr_light_x4:", "      sr_light_x5:")
    (tmp_path / "params.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"tasks: no task 'sr_light_x5' .did you mean 'sr_li"):
        load_settings(tmp_path / "params.yaml", "laptop")
