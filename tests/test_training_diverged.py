"""A training that diverges says so, writes no weights and keeps what is good."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import FINISHED, WEIGHTS, at_iteration, names, tiny

from eamamba.config import SettingsError
from eamamba.training import STATE_FILE, Trainer, TrainingError, train


def spoil(trainer: Trainer) -> None:
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))


def test_divergence_is_one_line_and_keeps_state_and_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"good weights")
    at_iteration(monkeypatch, 6, spoil)
    with pytest.raises(TrainingError) as raised:
        train(tiny(8), tmp_path, resume=False, progress=False)
    text = str(raised.value)
    assert "\n" not in text
    for part in ("iteration 6", "loss became nan", "last finite loss 0.", "learning_rate (now"):
        assert part in text
    assert (tmp_path / WEIGHTS).read_bytes() == b"good weights"
    batch = torch.load(tmp_path / "diverged_batch.pt")
    assert batch["iteration"] == 6
    assert batch["degraded"].shape == batch["clean"].shape == (1, 3, 8, 8)
    assert torch.load(tmp_path / STATE_FILE)["iteration"] == 4


def test_last_good_state_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tiny(), tmp_path / "whole", progress=False)
    with monkeypatch.context() as disturbed:
        at_iteration(disturbed, 5, spoil)
        with pytest.raises(TrainingError, match="last good state"):
            train(tiny(), tmp_path / "parts", progress=False)
    parts = train(tiny(), tmp_path / "parts", progress=False)
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    assert names(tmp_path / "parts") == FINISHED


def test_weights_spoilt_by_the_last_step_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._update

    def spoilt(trainer: Trainer) -> None:
        step(trainer)
        if trainer.iteration + 1 == 6:
            spoil(trainer)

    monkeypatch.setattr(Trainer, "_update", spoilt)
    with pytest.raises(TrainingError, match="iteration 6: the weights became NaN"):
        train(tiny(), tmp_path, progress=False)
    assert not (tmp_path / WEIGHTS).exists()
    assert torch.load(tmp_path / STATE_FILE)["iteration"] == 4


def test_spoilt_weights_replace_no_saved_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._update

    def spoilt(trainer: Trainer) -> None:
        step(trainer)
        if trainer.iteration + 1 == 4:
            spoil(trainer)

    monkeypatch.setattr(Trainer, "_update", spoilt)
    with pytest.raises(TrainingError, match="iteration 4: the weights became NaN"):
        train(tiny(), tmp_path, progress=False)
    assert torch.load(tmp_path / STATE_FILE)["iteration"] == 2


def test_images_that_are_no_numbers_are_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def with_nan(trainer: Trainer, degraded: torch.Tensor, clean: torch.Tensor) -> tuple:
        if trainer.iteration == 1:
            degraded[0, 0, 0, 0] = float("nan")
        return step(trainer, degraded, clean)

    monkeypatch.setattr(Trainer, "step", with_nan)
    with pytest.raises(
        TrainingError, match=r"iteration 2: .*its images hold NaN or infinite values"
    ):
        train(tiny(), tmp_path, progress=False)
    assert torch.load(tmp_path / STATE_FILE)["iteration"] == 1  # the weights were good


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"learning_rate": 1e38}, r"iteration 1: .*1e\+38 overflowed; last finite loss 0\."),
        ({"learning_rate": float("inf")}, "iteration 2: the loss became nan"),
        ({"weight_decay": 1e300}, "the loss became nan"),
        ({"minimum_learning_rate": 1e50}, "overflowed"),
    ],
)
def test_absurd_recipes_are_one_line(
    tmp_path: Path, recipe: dict[str, float], message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as raised:
        train(tiny(**recipe), tmp_path, progress=False)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / WEIGHTS).exists()


def test_what_the_optimiser_refuses_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="beta parameter at index 0"):
        train(tiny(betas=(1.0, 0.9)), tmp_path, progress=False)
