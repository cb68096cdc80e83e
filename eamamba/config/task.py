"""Settings of one task: its data, recipe and test protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eamamba.config.data import DataSettings
from eamamba.config.errors import SettingsError, did_you_mean
from eamamba.config.model import ModelSettings, Strict


class Stage(Strict):
    """One stage of progressive training: square patches of one size."""

    patch: int = Field(ge=8, multiple_of=8)
    batch: int = Field(ge=1)
    iterations: int = Field(ge=1)


class TrainingSettings(Strict):
    """The recipe: L1, AdamW, clipped gradients, cosine after a plateau, weight EMA.

    ``halved_at`` lists iterations after which the learning rate is halved as well; with
    ``ema_warmup`` the decay of the EMA rises gradually to ``ema_decay``, for short training runs.
    The ``batch`` of a stage is that of all processes together. At most ``micro_batch`` images at a
    time go through the network, and their gradients add up; ``auto``: as many as fit in memory,
    and if not even one does, activations are recomputed instead of kept.
    Every ``validate_every`` iterations (0: never) the average of the weights is scored on the first
    ``validation_images`` images of each benchmark. Every ``checkpoint_every`` iterations the state
    is saved, and the average as well, of which the last ``keep_last`` are kept (0: none).
    ``precision`` is that of products; the scan and the weights stay in float32.
    """

    stages: tuple[Stage, ...] = Field(min_length=1)
    learning_rate: float = Field(3e-4, gt=0)
    minimum_learning_rate: float = Field(1e-6, ge=0)
    constant_iterations: int = Field(138_000, ge=0)
    halved_at: tuple[int, ...] = ()
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(1e-4, ge=0)
    clip_gradient_norm: float = Field(0.01, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    ema_warmup: bool = False
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    seed: int = Field(0, ge=0)
    micro_batch: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(200, ge=1)
    keep_last: int = Field(0, ge=0)
    validate_every: int = Field(0, ge=0)
    validation_images: int = Field(4, ge=1)
    initial_weights: str | None = None

    @property
    def iterations(self) -> int:
        """Total number of optimiser steps."""
        return sum(stage.iterations for stage in self.stages)


class ProtocolSettings(Strict):
    """How a restored image is compared with the clean one.

    ``colour`` selects all channels, luminance, or luminance rounded to 8 bits (``y8``: MATLAB's
    ``rgb2ycbcr`` of an 8-bit image); ``ssim`` is averaged over the channels or computed over the
    colour volume; ``eight_bit`` rounds the output first; ``border`` pixels are cropped from every
    side; images larger than ``tile`` are restored in tiles.
    """

    colour: Literal["rgb", "y", "y8"] = "rgb"
    ssim: Literal["channel", "volume"] = "channel"
    eight_bit: bool = False
    border: int = Field(0, ge=0)
    tile: int | None = Field(None, ge=64)


class EvaluationSettings(Strict):
    """The test: protocol, noise levels in 8-bit units, self-ensemble."""

    protocol: ProtocolSettings = Field(default_factory=ProtocolSettings)
    sigmas_255: tuple[float, ...] = (15, 25, 50)
    self_ensemble: bool = False
    receptive_field_images: int = Field(4, ge=1)
    receptive_field_size: int = Field(128, ge=16, multiple_of=8)


class TaskSettings(Strict):
    """Everything one task of one profile needs.

    ``title`` is its name in figures and tables, ``chapter`` its page of the book, ``family`` the
    group of tasks that it shares settings with.
    """

    task: str
    profile: str
    title: str = ""
    chapter: str | None = None
    family: str | None = None
    model: ModelSettings
    data: DataSettings = Field(default_factory=DataSettings)
    training: TrainingSettings
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)

    @property
    def scale(self) -> int:
        """Factor by which the output is larger than the input."""
        return getattr(self.model, "upscale", 1)

    @model_validator(mode="after")
    def _network_matches_data(self) -> TaskSettings:
        kind, name = self.data.kind, self.data.degradation
        if kind.scale != self.scale:
            raise ValueError(
                f"data.degradation {name} shrinks images {kind.scale} times, "
                f"the model enlarges them {self.scale} times"
            )
        if self.model.inp_channels != kind.channels:
            raise ValueError(
                f"data.degradation {name} gives {kind.channels} channels, "
                f"model.inp_channels is {self.model.inp_channels}"
            )
        for stage in self.training.stages:
            if stage.patch % self.scale:
                raise ValueError(
                    f"training.stages: patches of {stage.patch} pixels; "
                    f"expected a multiple of the scale {self.scale}"
                )
        return self


class Settings(Strict):
    """All settings of ``params.yaml`` for one profile.

    ``ablations`` holds the variants of one task, ``seeds`` the seeds that each is trained with,
    ``studies`` the groups that are compared.
    """

    profile: str
    tasks: dict[str, TaskSettings]
    ablations: dict[str, TaskSettings] = Field(default_factory=dict)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    studies: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _studies_compare_variants(self) -> Settings:
        for study, names in self.studies.items():
            for name in names:
                if name not in self.ablations:
                    known = did_you_mean(name, self.ablations)
                    raise ValueError(f"ablations.studies.{study}: no variant {name!r}{known}")
        return self

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

    def ablation(self, name: str) -> TaskSettings:
        """Return the settings of one variant of the ablation study.

        Raises
        ------
        SettingsError
            If the profile has no such variant.
        """
        if name not in self.ablations:
            raise SettingsError(
                f"no ablation {name!r} in profile {self.profile!r}"
                f"{did_you_mean(name, self.ablations)}"
            )
        return self.ablations[name]
