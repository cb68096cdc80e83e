"""The table of all degradations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Generator, Tensor

from eamamba.degradations.defocus import defocus_blur, dual_pixel_defocus
from eamamba.degradations.motion import motion_blur
from eamamba.degradations.noise import (
    blind_gaussian_noise,
    sensor_noise,
)
from eamamba.degradations.resize import (
    bicubic_downsample,
    low_resolution_camera,
)
from eamamba.degradations.weather import indoor_haze, outdoor_haze, rain

Degradation = Callable[[Tensor, Generator], Tensor]


def _bicubic(clean: Tensor, rng: Generator, *, scale: int) -> Tensor:  # noqa: ARG001
    return bicubic_downsample(clean, scale).clamp(0, 1)


DEGRADATIONS: dict[str, Degradation] = {
    "gaussian_noise": blind_gaussian_noise,
    "sensor_noise": sensor_noise,
    "motion_blur": motion_blur,
    "defocus_blur": defocus_blur,
    "dual_pixel_defocus": dual_pixel_defocus,
    "indoor_haze": indoor_haze,
    "outdoor_haze": outdoor_haze,
    "low_resolution_camera_x2": partial(low_resolution_camera, scale=2),
    "low_resolution_camera_x3": partial(low_resolution_camera, scale=3),
    "low_resolution_camera_x4": partial(low_resolution_camera, scale=4),
    "rain": rain,
    "bicubic_x2": partial(_bicubic, scale=2),
    "bicubic_x3": partial(_bicubic, scale=3),
    "bicubic_x4": partial(_bicubic, scale=4),
}
"""Name -> function from (clean image, generator) to the degraded image.

`eamamba.config.DEGRADATION_KINDS` states what each does to the image's shape.
"""
