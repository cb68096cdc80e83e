"""Degradations: pure functions of a clean image and a random generator.

Those without a data set of their own stand in for the paper's real photographs: small physical
models, to learn from any photograph. Images are (3, H, W) float32 in [0, 1]; randomness comes
from the generator alone; with strength 0 the image comes back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Generator, Tensor

from eamamba.degradations.defocus import defocus_blur, dual_pixel_defocus
from eamamba.degradations.depth import random_depth
from eamamba.degradations.motion import motion_blur
from eamamba.degradations.noise import (
    EVALUATION_SEED,
    blind_gaussian_noise,
    evaluation_noise,
    gaussian_noise,
    sensor_noise,
)
from eamamba.degradations.resize import (
    bicubic_downsample,
    crop_to_multiple,
    jpeg,
    low_resolution_camera,
)
from eamamba.degradations.weather import indoor_haze, outdoor_haze, rain, scatter

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
"""Name -> function of (clean image, generator) giving the degraded image.

All keep the size, but `bicubic_*`, which shrink it, and `dual_pixel_defocus`, which gives six
channels.
"""

__all__ = [
    "DEGRADATIONS",
    "EVALUATION_SEED",
    "Degradation",
    "bicubic_downsample",
    "blind_gaussian_noise",
    "crop_to_multiple",
    "defocus_blur",
    "dual_pixel_defocus",
    "evaluation_noise",
    "gaussian_noise",
    "indoor_haze",
    "jpeg",
    "low_resolution_camera",
    "motion_blur",
    "outdoor_haze",
    "rain",
    "random_depth",
    "scatter",
    "sensor_noise",
]
