"""Typed, strict settings: ``params.yaml`` is read here and nowhere else.

The model's fields keep the spelling of the released checkpoints, so that a
checkpoint's hyper-parameters are settings. An unknown key is an error that
names the nearest known one.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator


class EAMambaError(Exception):
    """Root of the errors a user can mend; its text is one line: what came, what to do."""


class SettingsError(EAMambaError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class Strict(BaseModel):
    """A settings group: immutable, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ScanPattern = Literal["raster", "diagonal", "zigzag", "zorder", "hilbert"]
ChannelMixer = Literal["simple", "ffn", "gdfn", "cca"]
ProfileName = Literal["smoke", "laptop", "paper"]
PROFILES: tuple[str, ...] = get_args(ProfileName)
BUNDLED = "bundled"


class MambaSettings(Strict):
    """The multi-head selective scan module (paper section 3.2).

    ``scan_count`` is the number of heads K, ``d_state`` the states N per channel,
    ``expand`` the ratio d_inner / C; ``conv_2d`` chooses between a depthwise
    convolution over the image and a causal one over the raster sequence.
    """

    scan_type: ScanPattern = "diagonal"
    scan_count: Literal[1, 2, 4, 8] = 8
    scan_merge_method: Literal["concate", "add"] = "concate"
    disable_z_branch: bool = False
    d_state: int = Field(16, ge=1, le=256)
    d_conv: int = Field(3, ge=1)
    expand: float = Field(1, gt=0)
    conv_2d: bool = True

    @field_validator("scan_type", mode="before")
    @classmethod
    def _null_is_raster(cls, value: object) -> object:
        return "raster" if value is None else value

    @model_validator(mode="after")
    def _same_padding_needs_odd_kernel(self) -> MambaSettings:
        if self.conv_2d and self.d_conv % 2 == 0:
            raise ValueError(f"d_conv must be odd with conv_2d, got {self.d_conv}")
        return self


class _BlockSettings(Strict):
    """What both networks share: sizes and kinds of their blocks."""

    inp_channels: int = Field(3, ge=1)
    out_channels: int = Field(3, ge=1)
    dim: int = Field(64, ge=1)
    num_blocks: tuple[int, ...] = (4, 6, 6, 7)
    ffn_expansion_factor: float = Field(2, gt=0)
    bias: bool = False
    layernorm_type: Literal["WithBias", "BiasFree"] = "WithBias"
    channel_mixer_type: ChannelMixer = "simple"
    checkpoint_percentage: float = Field(0.0, ge=0, le=1)
    mamba_cfg: MambaSettings = MambaSettings()

    @field_validator("channel_mixer_type", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> _BlockSettings:
        mamba = self.mamba_cfg
        d_inner = int(mamba.expand * self.dim)
        if mamba.scan_merge_method == "concate" and d_inner % mamba.scan_count:
            raise ValueError(
                f"expand x dim = {d_inner} channels cannot be split over "
                f"{mamba.scan_count} heads; make it a multiple or use scan_merge_method: add"
            )
        return self


class EAMambaSettings(_BlockSettings):
    """The U-shaped network of the same-resolution tasks (paper section 3.1)."""

    architecture: Literal["eamamba"] = "eamamba"
    num_blocks: tuple[int, int, int, int] = (4, 6, 6, 7)
    num_refinement_blocks: int = Field(2, ge=0)
    dual_pixel_task: bool = False

    @model_validator(mode="after")
    def _residual_needs_equal_channels(self) -> EAMambaSettings:
        if self.dim % 2:
            raise ValueError(f"dim must be even (down-sampling halves it), got {self.dim}")
        if not self.dual_pixel_task and self.inp_channels != self.out_channels:
            raise ValueError(
                f"inp_channels {self.inp_channels} and out_channels {self.out_channels} must be "
                "equal: the network adds its input image (only dual_pixel_task does not)"
            )
        return self


class EAMambaSRSettings(_BlockSettings):
    """The light super-resolution network."""

    architecture: Literal["eamambasr"] = "eamambasr"
    num_blocks: tuple[int, ...] = (4, 4, 4, 4)
    ffn_expansion_factor: float = Field(1, gt=0)
    upscale: Literal[2, 3, 4] = 2
    mamba_cfg: MambaSettings = MambaSettings(d_state=10)


ModelSettings = Annotated[
    EAMambaSettings | EAMambaSRSettings, Field(discriminator="architecture")
]


class DataSettings(Strict):
    """Where photographs come from and how they are degraded.

    ``training_set`` and the values of ``benchmarks`` are folders of clean images,
    or the word ``bundled``: photographs that installed packages carry.
    """

    degradation: Literal["gaussian_noise"] = "gaussian_noise"
    sigma_255: tuple[float, float] = (0.0, 50.0)
    training_set: str = BUNDLED
    benchmarks: dict[str, str] = {"held-out photographs": BUNDLED}
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
    data: DataSettings
    training: TrainingSettings
    evaluation: EvaluationSettings


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
                f"no task {name!r} in profile {self.profile!r}{_did_you_mean(name, self.tasks)}"
            )
        return self.tasks[name]


AnySettings = TypeVar("AnySettings", bound=BaseModel)


def _did_you_mean(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    if not near:
        near = [k for k in known if k.lower().replace("_", "") == name.lower().replace("_", "")]
    return f" (did you mean {near[0]!r}?)" if near else f"; known: {', '.join(sorted(known))}"


def _known_keys(model: type[BaseModel]) -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _known_keys(part)
    return keys


def validate(model: type[AnySettings], values: object, source: str) -> AnySettings:
    """Check ``values`` against a settings group.

    Parameters
    ----------
    model : type
        The settings class.
    values : object
        Usually a mapping, as read from YAML or from a checkpoint.
    source : str
        What to call the origin in an error, such as ``params.yaml``.

    Raises
    ------
    SettingsError
        One line listing every problem, with a suggestion for unknown keys.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(model, source, e) for e in error.errors())) from None


def _explain(model: type[BaseModel], source: str, error: Any) -> str:
    tags = {"eamamba", "eamambasr"}  # pydantic names the chosen network in the path; readers do not
    path = [str(part) for part in error["loc"] if part not in tags]
    where = f"{source}: {'.'.join(path)}: " if path else f"{source}: "
    if error["type"] == "extra_forbidden":
        return f"{where}no such setting{_did_you_mean(path[-1], _known_keys(model))}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in {"value_error", "missing"}:
        return where + message[0].lower() + message[1:]
    return f"{where}got {error['input']!r}; {message[0].lower()}{message[1:]}"


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, group by group."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and key != "benchmarks"
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def load_settings(path: str | Path = "params.yaml", profile: str | None = None) -> Settings:
    """Read one profile of a settings file.

    Parameters
    ----------
    path : path
        A YAML file with ``profile`` and ``profiles``; each profile holds the groups
        ``model``, ``data``, ``training``, ``evaluation`` shared by its tasks, and
        ``tasks`` with each task's differences.
    profile : str, optional
        Overrides the file's own choice (and the variable ``EAMAMBA_PROFILE``).

    Raises
    ------
    SettingsError
        If the file cannot be read, or any setting is unknown or out of range.
    """
    source = Path(path).name
    tree = _read_yaml(Path(path))
    unknown = set(tree) - {"profile", "profiles"}
    if unknown:
        key = sorted(unknown)[0]
        raise SettingsError(
            f"{source}: {key}: no such setting{_did_you_mean(key, ['profile', 'profiles'])}"
        )
    name = profile or os.environ.get("EAMAMBA_PROFILE") or tree.get("profile", "laptop")
    profiles = tree.get("profiles") or {}
    if name not in profiles or name not in PROFILES:
        known = [p for p in PROFILES if p in profiles]
        raise SettingsError(
            f"{source}: profile: no profile {name!r}{_did_you_mean(str(name), known)}"
        )
    groups = dict(profiles[name])
    tasks = groups.pop("tasks", None) or {}
    full = {
        task: merge(groups, changes or {}) | {"task": task, "profile": name}
        for task, changes in tasks.items()
    }
    for settings in full.values():
        settings.setdefault("model", {}).setdefault("architecture", "eamamba")
    return validate(Settings, {"profile": name, "tasks": full}, source)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read {path}: {error.strerror}; run from the project's folder or name the file"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise SettingsError(f"{path.name}: not valid YAML: {line}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path.name}: expected settings, got {type(tree).__name__}")
    return tree
