"""The table of all degradations, and how each comes about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Generator, Tensor

from eamamba.config import DEGRADATION_KINDS
from eamamba.degradations.defocus import defocus_blur, dual_pixel_defocus
from eamamba.degradations.motion import motion_blur
from eamamba.degradations.noise import (
    blind_gaussian_noise,
    evaluation_noise,
    sensor_noise,
)
from eamamba.degradations.resize import (
    bicubic_downsample,
    low_resolution_camera,
    resize,
)
from eamamba.degradations.steps import note
from eamamba.degradations.weather import indoor_haze, outdoor_haze, rain

Degradation = Callable[[Tensor, Generator], Tensor]


def _bicubic(
    clean: Tensor,
    rng: Generator,  # noqa: ARG001
    *,
    scale: int,
    steps: dict[str, Tensor] | None = None,
) -> Tensor:
    small = bicubic_downsample(clean, scale).clamp(0, 1)
    note(steps, "input: shrunk", lambda: small)
    note(steps, "enlarged by bicubic", lambda: resize(small, (clean.shape[1], clean.shape[2])))
    return small


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

`eamamba.config.DEGRADATION_KINDS` says of each what becomes of the image's shape.
"""


def degradation_steps(
    kind: str, clean: Tensor, rng: Generator, sigmas_255: Sequence[float]
) -> dict[str, Tensor]:
    """Show how a degradation comes about: its pictures from the first stage to the last.

    Parameters
    ----------
    kind : str
        A name of `DEGRADATIONS`.
    clean : (3, H, W) in [0, 1]
        For `bicubic_*`, H and W must be multiples of the scale.
    rng : Generator
        As for the degradation itself, whose result stays the same. `gaussian_noise` has the
        generator of the test protocol instead.
    sigmas_255 : sequence of float
        Noise levels in 8-bit units, for `gaussian_noise` alone: one picture for each.

    Returns
    -------
    dict
        Title to picture: colours (3, h, w) or a map (1, h, w) in display values [0, 1], noisy
        ones of `gaussian_noise` unclipped. What the network gets is the last picture, except for
        `bicubic_*` (the first, of 1 / scale the size, is followed by its enlargement, which the
        scores take for the input) and `dual_pixel_defocus` (both views, then their difference).

    Raises
    ------
    ValueError
        The size is no multiple of the scale of `bicubic_*`.
    """
    if DEGRADATION_KINDS[kind].added_by_test:
        noise = evaluation_noise(*clean.shape)
        return {f"σ = {sigma:g}": clean + noise * (sigma / 255) for sigma in sigmas_255}
    steps: dict[str, Tensor] = {}
    degrade: Callable[..., Tensor] = DEGRADATIONS[kind]
    degrade(clean, rng, steps=steps)
    return steps
