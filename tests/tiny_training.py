"""A training of a second, for what happens around trainings, and ways to disturb one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eamamba.config import Stage, TaskSettings, load_settings
from eamamba.training import Trainer

PARAMS = Path(__file__).parents[1] / "params.yaml"
WEIGHTS = "model.safetensors"
CURVE = "training.csv"
LOG = "training.log"
FINISHED = {WEIGHTS, CURVE, LOG}
"""What a training leaves."""


def tiny(iterations: int = 6, data: dict[str, Any] | None = None, **recipe: Any) -> TaskSettings:
    """Return settings with patches of 8 pixels, logged and saved at every second step."""
    settings = load_settings(PARAMS, "smoke").task("denoise_gaussian")
    stages = (Stage(patch=8, batch=1, iterations=iterations),)
    changes = {"stages": stages, "log_every": 2, "checkpoint_every": 2} | recipe
    return settings.model_copy(
        update={
            "training": settings.training.model_copy(update=changes),
            "data": settings.data.model_copy(update=data or {}),
        }
    )


def at_iteration(
    monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[Trainer], None]
) -> None:
    """Do something before one step of every training."""
    step = Trainer.step

    def disturbed(trainer: Trainer, degraded: Any, clean: Any) -> tuple[float, float]:
        if trainer.iteration + 1 == number:
            act(trainer)
        return step(trainer, degraded, clean)

    monkeypatch.setattr(Trainer, "step", disturbed)


def names(folder: Path) -> set[str]:
    """Return what lies in a folder."""
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, except the log, which tells times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOG}
