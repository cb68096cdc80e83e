"""Settings of one task: its data, recipe and test protocol."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from eamamba.config.errors import SettingsError, did_you_mean
from eamamba.config.model import ModelSettings, Strict

ProfileName = Literal["smoke", "laptop", "pretrained", "paper"]
PROFILES: tuple[str, ...] = get_args(ProfileName)
BUNDLED = "bundled"


class DataSettings(Strict):
    """Where photographs come from and how they are degraded.

    ``training_set`` and the values of ``benchmarks`` are folders of clean images,
    or the word ``bundled``: photographs that installed packages carry.
    """

    degradation: Literal["gaussian_noise"] = "gaussian_noise"
    sigma_255: tuple[float, float] = (0.0, 50.0)
    training_set: str = BUNDLED
    benchmarks: dict[str, str] = Field(default_factory=lambda: {"held-out photographs": BUNDLED})
    held_out_size: int | None = Field(None, ge=16)
    workers: int = Field(0, ge=0)


class Stage(Strict):
    """One stage of progressive training: square patches of one size."""

    patch: int = Field(ge=8, multiple_of=8)
    batch: int = Field(ge=1)
    iterations: int = Field(ge=1)


class TrainingSettings(Strict):
    """The recipe: L1, AdamW, clipped gradients, cosine after a plateau, weight EMA."""

    stages: tuple[Stage, ...] = Field(min_length=1)
    learning_rate: float = Field(3e-4, gt=0)
    minimum_learning_rate: float = Field(1e-6, ge=0)
    constant_iterations: int = Field(138_000, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(1e-4, ge=0)
    clip_gradient_norm: float = Field(0.01, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    precision: Literal["float32", "bf16"] = "float32"
    seed: int = Field(0, ge=0)
    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(200, ge=1)
    initial_weights: str | None = None

    @property
    def iterations(self) -> int:
        """Total number of optimiser steps."""
        return sum(stage.iterations for stage in self.stages)


class EvaluationSettings(Strict):
    """The test protocol: noise levels in 8-bit units, seed, self-ensemble."""

    sigmas_255: tuple[float, ...] = (15, 25, 50)
    self_ensemble: bool = False
    receptive_field_images: int = Field(4, ge=1)
    receptive_field_size: int = Field(128, ge=16, multiple_of=8)


class TaskSettings(Strict):
    """Everything one task of one profile needs."""

    task: str
    profile: ProfileName
    model: ModelSettings
    data: DataSettings = Field(default_factory=DataSettings)
    training: TrainingSettings
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)


class Settings(Strict):
    """The whole of ``params.yaml`` for one profile."""

    profile: ProfileName
    tasks: dict[str, TaskSettings]

    def task(self, name: str) -> TaskSettings:
        """Return the settings of one task.

        Raises
        ------
        SettingsError
            If the profile has no such task.
        """
        if name not in self.tasks:
            raise SettingsError(
                f"no task {name!r} in profile {self.profile!r}{did_you_mean(name, self.tasks)}"
            )
        return self.tasks[name]
