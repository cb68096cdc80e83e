"""Settings of the data: which photographs, how they are degraded, how files are laid out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from eamamba.config.model import Strict

BUNDLED = "bundled"
DegradationName = Literal[
    "gaussian_noise",
    "sensor_noise",
    "motion_blur",
    "defocus_blur",
    "dual_pixel_defocus",
    "indoor_haze",
    "outdoor_haze",
    "low_resolution_camera_x2",
    "low_resolution_camera_x3",
    "low_resolution_camera_x4",
    "rain",
    "bicubic_x2",
    "bicubic_x3",
    "bicubic_x4",
]
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
    "bicubic_x2",
    "bicubic_x3",
    "bicubic_x4",
]


def _named(places: object) -> object:
    return {"training": places} if isinstance(places, str) else places


Places = Annotated[dict[str, str], BeforeValidator(_named)]


class Pool(Strict):
    """Crops that are degraded once, to cut all patches from; for costly degradations."""

    crops: int = Field(ge=1)
    size: int = Field(ge=16)


class DataSettings(Strict):
    """Where photographs come from and how they are degraded.

    ``training_set`` and ``benchmarks`` name folders, or the word ``bundled``: photographs that
    installed packages carry. ``layout`` says how the folders are arranged: ``photographs`` are
    clean and get ``degradation``, all other layouts are pairs as their authors published them.
    """

    degradation: DegradationName = "gaussian_noise"
    sigma_255: tuple[float, float] = (0.0, 50.0)
    layout: LayoutName = "photographs"
    training_set: Places = Field(default={"training": BUNDLED}, min_length=1)
    benchmarks: dict[str, str] = Field(default_factory=lambda: {"held-out photographs": BUNDLED})
    held_out_size: int | None = Field(None, ge=16)
    pool: Pool | None = None
    workers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _pairs_lie_in_one_place(self) -> DataSettings:
        if self.layout != "photographs" and len(self.training_set) > 1:
            names = ", ".join(self.training_set)
            raise ValueError(f"training_set: layout {self.layout} takes one folder, got {names}")
        return self
