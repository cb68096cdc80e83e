"""Settings of the data: which photographs, how they are degraded, how files are laid out."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from eamamba.config.errors import did_you_mean
from eamamba.config.model import Strict

BUNDLED = "bundled"


class DegradationKind(NamedTuple):
    """What a degradation does to an image's shape, and whether the test protocol adds it."""

    scale: int = 1  # factor by which it shrinks both sides
    channels: int = 3  # of the degraded image
    added_by_test: bool = False  # at several known strengths, instead of once per image

    @property
    def changes_shape(self) -> bool:
        """Whether a degraded image differs from the clean one in size or channels."""
        return (self.scale, self.channels) != (1, 3)


DEGRADATION_KINDS = {
    "gaussian_noise": DegradationKind(added_by_test=True),
    "sensor_noise": DegradationKind(),
    "motion_blur": DegradationKind(),
    "defocus_blur": DegradationKind(),
    "dual_pixel_defocus": DegradationKind(channels=6),
    "indoor_haze": DegradationKind(),
    "outdoor_haze": DegradationKind(),
    "low_resolution_camera_x2": DegradationKind(),  # enlarged again
    "low_resolution_camera_x3": DegradationKind(),
    "low_resolution_camera_x4": DegradationKind(),
    "rain": DegradationKind(),
    "bicubic_x2": DegradationKind(scale=2),
    "bicubic_x3": DegradationKind(scale=3),
    "bicubic_x4": DegradationKind(scale=4),
}
"""Every degradation; `eamamba.degradations.DEGRADATIONS` maps each name to its function."""
LayoutName = Literal[
    "photographs",
    "pairs",
    "sidd",
    "dpdd",
    "dpdd_dual_pixel",
    "reside",
    "realsr_x2",
    "realsr_x3",
    "realsr_x4",
    "city100",
    "bicubic_x2",
    "bicubic_x3",
    "bicubic_x4",
]


def _known_degradation(name: str) -> str:
    if name not in DEGRADATION_KINDS:
        raise ValueError(f"no degradation {name!r}{did_you_mean(name, DEGRADATION_KINDS)}")
    return name


def _name_single_folder(value: object) -> object:
    return {"training": value} if isinstance(value, str) else value


Folders = Annotated[dict[str, str], BeforeValidator(_name_single_folder)]


class Pool(Strict):
    """Crops that are degraded once and that all patches are cut from; for costly degradations."""

    crops: int = Field(ge=1)
    size: int = Field(ge=16)


class DataSettings(Strict):
    """Where photographs come from and how they are degraded.

    ``training_set`` and ``benchmarks`` name folders, or ``bundled``, the photographs that come with
    scikit-image and scikit-learn. ``layout`` says how the folders are arranged: ``photographs`` are
    clean and get ``degradation``; all other layouts are pairs as their authors published them. A
    test without pairs takes the central crop of each photograph, at most ``held_out_size`` pixels
    high and wide. ``clear_share`` is the fraction of training patches that are not degraded, so
    that the network learns to leave clean images alone. ``cache`` names a folder that keeps the
    decoded training images in tiles, so that a patch costs a read; it changes no patch.
    """

    degradation: Annotated[str, AfterValidator(_known_degradation)] = "gaussian_noise"
    sigma_255: tuple[float, float] = (0.0, 50.0)
    clear_share: float = Field(0, ge=0, le=1)
    layout: LayoutName = "photographs"
    training_set: Folders = Field(default={"training": BUNDLED}, min_length=1)
    benchmarks: dict[str, str] = Field(default_factory=lambda: {"held-out photographs": BUNDLED})
    held_out_size: int | None = Field(None, ge=16)
    pool: Pool | None = None
    workers: int = Field(0, ge=0)
    cache: str | None = None

    @property
    def kind(self) -> DegradationKind:
        """What the degradation does to the shape of an image."""
        return DEGRADATION_KINDS[self.degradation]

    @model_validator(mode="after")
    def _pairs_are_in_one_folder(self) -> DataSettings:
        if self.layout != "photographs" and len(self.training_set) > 1:
            names = ", ".join(self.training_set)
            raise ValueError(f"training_set: layout {self.layout} takes one folder, got {names}")
        return self

    @model_validator(mode="after")
    def _clear_patches_can_be_inputs(self) -> DataSettings:
        if self.clear_share and (self.layout != "photographs" or self.kind.changes_shape):
            raise ValueError(
                "clear_share: needs layout photographs and a degradation that keeps the shape, "
                f"got {self.layout} and {self.degradation}"
            )
        return self
