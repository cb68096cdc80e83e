"""Pictures of each degradation step by step, for the book; not part of the physics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Generator, Tensor

from eamamba.config import DEGRADATION_KINDS
from eamamba.degradations import DEGRADATIONS, evaluation_noise
from eamamba.degradations.defocus import DUAL_PIXEL, ONE_VIEW, Defocus, simulate_defocus
from eamamba.degradations.light import to_srgb
from eamamba.degradations.motion import mean_view, simulate_motion_blur, warp
from eamamba.degradations.noise import simulate_sensor_noise
from eamamba.degradations.resize import resize, simulate_low_resolution_camera
from eamamba.degradations.weather import (
    Haze,
    simulate_indoor_haze,
    simulate_outdoor_haze,
    simulate_rain,
)

Pictures = dict[str, Tensor]
"""Title -> image (3, h, w) or map (1, h, w) in display values, from the first step to the last."""
_AMPLIFICATION = 4


def degradation_steps(
    kind: str, clean: Tensor, rng: Generator, sigmas_255: Sequence[float]
) -> Pictures:
    """Return pictures of a degradation, from the first step to the last.

    Parameters
    ----------
    kind : str
        A name of `DEGRADATIONS`.
    clean : (3, H, W) in [0, 1]
        For `bicubic_*`, H and W must be multiples of the scale.
    rng : Generator
        As for the degradation itself, with the same result. `gaussian_noise` uses the generator of
        the test protocol instead.
    sigmas_255 : sequence of float
        Noise levels in 8-bit units, for `gaussian_noise` only: one picture each.

    Returns
    -------
    dict
        Title to picture: colours (3, h, w) or a map (1, h, w) in display values [0, 1], those of
        `gaussian_noise` unclipped. The last picture is the input of the network, except for
        `bicubic_*` (the input, of 1 / scale the size, is followed by its enlargement, which is
        scored as the input) and `dual_pixel_defocus` (both views are followed by their difference).

    Raises
    ------
    ValueError
        The size is not a multiple of the scale of `bicubic_*`.
    """
    if DEGRADATION_KINDS[kind].added_by_test:
        noise = evaluation_noise(*clean.shape)
        return {f"σ = {sigma:g}": clean + noise * (sigma / 255) for sigma in sigmas_255}
    return {title: picture.clamp(0, 1) for title, picture in STEPS[kind](clean, rng).items()}


def _sensor_noise(clean: Tensor, rng: Generator) -> Pictures:
    stages = simulate_sensor_noise(clean, rng)
    brightest = stages.raw.max().clamp(min=1e-6)
    return {
        "raw values, brightened": to_srgb(stages.raw[None] / brightest),
        "raw values with noise": to_srgb(stages.noisy_raw[None] / brightest),
        "developed": stages.developed,
        "input: saved by the camera": stages.noisy,
    }


def _motion_blur(clean: Tensor, rng: Generator) -> Pictures:
    poses, blurred = simulate_motion_blur(clean, rng)
    half = poses[: len(poses) // 2 + 1]
    return {
        "paths of single points": _trace_points(poses, *clean.shape[1:]),
        "first view of the exposure": mean_view(clean, poses[:1]),
        "last view of the exposure": mean_view(clean, poses[-1:]),
        f"mean of the first {len(half)} views": mean_view(clean, half),
        f"input: mean of all {len(poses)} views": blurred,
    }


def _trace_points(homographies: Tensor, height: int, width: int) -> Tensor:
    """Return the paths of the points of a square grid across the image, (1, H, W)."""
    spacing = max(min(height, width) // 6, 1)
    points = torch.zeros(1, height, width)
    points[:, spacing // 2 :: spacing, spacing // 2 :: spacing] = 1
    return torch.stack([warp(points, homography) for homography in homographies]).sum(0)


def _defocus_blur(clean: Tensor, rng: Generator) -> Pictures:
    stages = simulate_defocus(clean, rng, ONE_VIEW)
    return _scene_and_radius(stages) | {"input: blurred": stages.blurred}


def _dual_pixel_defocus(clean: Tensor, rng: Generator) -> Pictures:
    stages = simulate_defocus(clean, rng, DUAL_PIXEL)
    left, right = stages.blurred.chunk(2)
    difference = _AMPLIFICATION * (left - right).abs().mean(0)[None]
    return _scene_and_radius(stages) | {
        "input: left view": left,
        "input: right view": right,
        f"|left − right| × {_AMPLIFICATION}": difference,
    }


def _scene_and_radius(stages: Defocus) -> Pictures:
    radius = (stages.depth - stages.focus).abs() / max(stages.focus, 1 - stages.focus)
    return {
        "depth: white is far": stages.depth,
        f"blur radius: white is {stages.largest_radius_px:.1f} px": radius,
    }


def _haze(clean: Tensor, rng: Generator, simulate: Callable[[Tensor, Generator], Haze]) -> Pictures:
    stages = simulate(clean, rng)
    return {
        "depth: white is far": stages.depth,
        "transmission: white is 1": stages.transmission,
        "input: hazy": stages.hazy,
    }


def _low_resolution_camera(clean: Tensor, rng: Generator, scale: int) -> Pictures:
    stages = simulate_low_resolution_camera(clean, rng, scale=scale)
    return {
        "blurred by the lens": to_srgb(stages.blurred),
        "sampled": to_srgb(stages.sampled),
        "with noise": stages.noisy,
        "sharpened by the camera": stages.sharpened,
        f"JPEG of quality {stages.jpeg_quality}": stages.compressed,
        "input: enlarged": stages.enlarged,
    }


def _rain(clean: Tensor, rng: Generator) -> Pictures:
    stages = simulate_rain(clean, rng)
    return {
        "veil of distant rain": stages.veiled,
        "streaks alone": stages.streaks,
        "input: rainy": stages.rainy,
    }


def _bicubic(clean: Tensor, rng: Generator, scale: int) -> Pictures:
    small = DEGRADATIONS[f"bicubic_x{scale}"](clean, rng)
    enlarged = resize(small, (clean.shape[1], clean.shape[2]))
    return {"input: shrunk": small, "enlarged by bicubic": enlarged}


STEPS: dict[str, Callable[[Tensor, Generator], Pictures]] = {
    "sensor_noise": _sensor_noise,
    "motion_blur": _motion_blur,
    "defocus_blur": _defocus_blur,
    "dual_pixel_defocus": _dual_pixel_defocus,
    "indoor_haze": partial(_haze, simulate=simulate_indoor_haze),
    "outdoor_haze": partial(_haze, simulate=simulate_outdoor_haze),
    "low_resolution_camera_x2": partial(_low_resolution_camera, scale=2),
    "low_resolution_camera_x3": partial(_low_resolution_camera, scale=3),
    "low_resolution_camera_x4": partial(_low_resolution_camera, scale=4),
    "rain": _rain,
    "bicubic_x2": partial(_bicubic, scale=2),
    "bicubic_x3": partial(_bicubic, scale=3),
    "bicubic_x4": partial(_bicubic, scale=4),
}
"""Name in `DEGRADATIONS` -> its pictures; noise added by the test has levels instead of steps."""
