"""Degradations: pure functions of a clean image and a random generator.

Those without a data set of their own stand in for the paper's real photographs: small physical
models, to learn from any photograph. Images are (3, H, W) float32 in [0, 1]; randomness comes
from the generator alone; with strength 0 the image comes back unchanged.
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
