"""The recipe against golden values, and the laws of resuming and reproducing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eamamba.checkpoint import load_model, read_header
from eamamba.config import (
    EAMambaSettings,
    SettingsError,
    TaskSettings,
    TrainingSettings,
    load_settings,
    validate,
)
from eamamba.datasets import bundled_photographs
from eamamba.network import EAMamba
from eamamba.profiling import complexity
from eamamba.training import STATE_FILE, Trainer, learning_rate, missing, plan, train
from eamamba.training.memory import kept_bytes
from eamamba.training.schedule import ema_decay

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def smoke() -> TaskSettings:
    return load_settings("params.yaml", "smoke").task("denoise_gaussian")


def with_training(settings: TaskSettings, **changes: object) -> TaskSettings:
    recipe = settings.training.model_copy(update=changes)
    return settings.model_copy(update={"training": recipe})


def test_paper_schedule_equals_golden() -> None:
    recipe = load_settings("params.yaml", "paper").task("denoise_gaussian").training
    assert recipe.iterations == 450_000
    for completed, expected in json.loads((GOLDEN / "lr_schedule.json").read_text()).items():
        assert learning_rate(int(completed), recipe) == pytest.approx(expected, rel=1e-9)


def test_three_steps_equal_golden() -> None:
    case = json.loads((GOLDEN / "train_three_steps.json").read_text())
    tensors = load_file(GOLDEN / "train_three_steps.safetensors")
    args = {k: v for k, v in case["args"].items() if k != "upscale"}
    model = EAMamba(validate(EAMambaSettings, args, "case"))
    model.load_state_dict(_section(tensors, "initial"))
    paper = load_settings("params.yaml", "paper").task("denoise_gaussian").training
    trainer = Trainer(model, paper)
    for step, expected_loss in enumerate(case["losses"]):
        batch = _section(tensors, f"batch{step}")
        loss, norm = trainer.step(batch["lq"], batch["gt"])
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        before_clip = float(tensors[f"grad_norm_before_clip{step}"])
        assert norm == pytest.approx(before_clip, rel=1e-4)
    averaged = trainer.ema.module.state_dict()
    for name, weight in model.state_dict().items():
        for ours, truth in ((weight, "final"), (averaged[name], "ema")):
            expected = tensors[f"{truth}.{name}"]
            assert (ours - expected).norm() <= 1e-5 * expected.norm(), (truth, name)


def test_a_warmed_up_average_forgets_the_initial_weights(smoke: TaskSettings) -> None:
    recipe = smoke.training.model_copy(update={"ema_decay": 0.99})
    warm = recipe.model_copy(update={"ema_warmup": True})

    def initial_share(recipe: TrainingSettings, steps: int) -> float:
        return math.prod(ema_decay(completed, recipe) for completed in range(steps))

    assert initial_share(recipe, 250) == pytest.approx(0.99**250)  # 8 %
    assert initial_share(warm, 250) < 1e-12
    assert ema_decay(1000, warm) == 0.99
    # the first step: a tenth of the initial weights stay
    model = EAMamba(EAMambaSettings(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1))
    initial = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainer = Trainer(model, warm)
    trainer.step(*torch.rand(2, 1, 3, 16, 16))
    for name, weight in model.state_dict().items():
        average = trainer.averaged.state_dict()[name]
        torch.testing.assert_close(average, 0.1 * initial[name] + 0.9 * weight)


def _section(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{name}.")}


def test_interrupted_training_ends_as_an_uninterrupted_one(
    smoke: TaskSettings, tmp_path: Path
) -> None:
    whole = train(smoke, tmp_path / "whole", progress=False)
    assert train(smoke, tmp_path / "parts", progress=False, time_limit_s=0) is None
    assert (tmp_path / "parts" / STATE_FILE).is_file()
    parts = train(smoke, tmp_path / "parts", progress=False)
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    curves = [(tmp_path / run / "training.csv").read_bytes() for run in ("whole", "parts")]
    assert curves[0] == curves[1]
    assert not (tmp_path / "parts" / STATE_FILE).exists()


def test_workers_do_not_change_the_result(smoke: TaskSettings, tmp_path: Path) -> None:
    two = smoke.model_copy(update={"data": smoke.data.model_copy(update={"workers": 2})})
    alone = train(smoke, tmp_path / "0", progress=False)
    helped = train(two, tmp_path / "2", progress=False)
    assert alone is not None
    assert helped is not None
    assert alone.read_bytes() == helped.read_bytes()


def test_resuming_other_settings_is_refused(smoke: TaskSettings, tmp_path: Path) -> None:
    train(smoke, tmp_path, progress=False, time_limit_s=0)
    other = with_training(smoke, learning_rate=1e-4)
    with pytest.raises(SettingsError, match=r"other settings.*--fresh"):
        train(other, tmp_path, progress=False)
    assert train(other, tmp_path, progress=False, resume=False) is not None


def test_saved_weights_carry_task_and_settings(smoke: TaskSettings, tmp_path: Path) -> None:
    path = train(smoke, tmp_path, progress=False)
    assert path is not None
    header = read_header(path)
    assert header["task"] == "denoise_gaussian"
    assert header["extra"]["iterations"] == smoke.training.iterations
    assert load_model(path).settings == smoke.model


def test_training_lowers_the_loss_on_one_batch() -> None:
    torch.manual_seed(0)
    smoke = load_settings("params.yaml", "smoke").task("denoise_gaussian")
    recipe = smoke.training.model_copy(update={"constant_iterations": 1000})
    trainer = Trainer(EAMamba(smoke.model), recipe)
    clean = torch.rand(1, 3, 16, 16)
    degraded = clean + 0.2 * torch.randn_like(clean)
    first, _ = trainer.step(degraded, clean)
    for _ in range(20):
        last, _ = trainer.step(degraded, clean)
    assert last < 0.8 * first


def test_cuda_without_a_device_is_a_clear_error(smoke: TaskSettings, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(SettingsError, match="--device cpu"):
        train(smoke, tmp_path, device="cuda", progress=False)


def test_plan_counts_what_the_stages_see(smoke: TaskSettings) -> None:
    table = plan(smoke)
    (stage,) = smoke.training.stages
    (row,) = table.to_dict("records")
    assert row["patches"] == stage.batch * stage.iterations
    assert row["epochs"] == row["patches"] / len(bundled_photographs("train"))
    forward = complexity(smoke.model, stage.patch).gflops / 1e3
    assert row["teraflops"] == pytest.approx(3 * row["patches"] * forward)
    assert not missing(smoke)


def test_plan_of_the_paper_needs_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EAMAMBA_DATA", str(tmp_path))
    paper = load_settings("params.yaml", "paper").task("deblur_motion")
    table = plan(paper)
    assert table["iterations"].sum() == 450_000
    assert table["epochs"].isna().all()
    assert table["memory_gib"].between(50, 200).all()
    lines = missing(paper)
    assert all(any(name in line for line in lines) for name in ("GoproTrain", "HideTest"))


def test_what_is_kept_for_the_backward_pass_grows_with_the_image(smoke: TaskSettings) -> None:
    small, large = (kept_bytes(smoke.model, side) for side in (32, 64))
    assert 3.5 * small < large < 4.5 * small
    # at least the scan's five inputs and the result of every block
    assert small > 4 * 32**2 * smoke.model.dim * 7
