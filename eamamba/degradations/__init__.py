"""Degradations: pure functions of a clean image and a random generator.

Where the paper trains on pairs of real photographs, small physical models that work on any
photograph replace them. Images are (3, H, W) float32 in [0, 1]; all randomness comes from the
generator; strength 0 returns the image unchanged.
"""

from __future__ import annotations

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
from eamamba.degradations.table import DEGRADATIONS, Degradation
from eamamba.degradations.weather import indoor_haze, outdoor_haze, rain, scatter

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
