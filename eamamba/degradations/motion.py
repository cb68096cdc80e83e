"""Motion blur of a hand-held camera."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from eamamba.degradations.light import to_linear_light, to_srgb, uniform

_INSTANTS = 64
_MAX_POSES = 33


class MotionBlur(NamedTuple):
    """A blurred picture, and the camera poses whose views were averaged."""

    homographies: Tensor  # (poses, 3, 3): see `warp`
    blurred: Tensor  # (3, H, W)


def motion_blur(
    clean: Tensor,
    rng: Generator,
    *,
    extent_px: tuple[float, float] = (2.0, 18.0),
    strength: float = 1.0,
) -> Tensor:
    """Average the views of a camera that shakes and turns while the shutter is open.

    The camera follows a smooth random path of six degrees of freedom in front of a scene of
    constant depth, so each instant sees the image through a homography. The average is taken in
    linear light. The image itself is the view from the mean pose: the blur displaces nothing on
    average, as in data sets that align their pairs.

    Parameters
    ----------
    clean : (3, H, W) in [0, 1]
    rng : Generator
    extent_px : (float, float)
        Range of the largest displacement of any image corner from the mean pose, in pixels;
        drawn uniformly on a logarithmic scale.
    strength : float
        Factor of that displacement; 0 returns the image unchanged (up to float32 rounding).

    Returns
    -------
    (3, H, W) in [0, 1]

    References
    ----------
    Tai, Tan, Brown, "Richardson-Lucy deblurring for scenes under a projective motion path",
    PAMI 2011 (the sum of homographies); Boracchi, Foi, "Modeling the performance of image
    restoration from motion blur", TIP 2012 (random paths with inertia); Rim, Lee, Won, Cho,
    "Real-world blur dataset for learning and benchmarking deblurring algorithms", ECCV 2020
    (aligned pairs).
    """
    return simulate_motion_blur(clean, rng, extent_px=extent_px, strength=strength).blurred


def simulate_motion_blur(
    clean: Tensor,
    rng: Generator,
    *,
    extent_px: tuple[float, float] = (2.0, 18.0),
    strength: float = 1.0,
) -> MotionBlur:
    """Run `motion_blur` and also return the poses of the camera."""
    height, width = clean.shape[1:]
    path = _camera_path(rng)
    extent = strength * math.exp(uniform(rng, *map(math.log, extent_px)))
    path = path * (extent / _largest_displacement(path, height, width))
    # About one view per pixel of displacement avoids ghosts.
    poses = min(2 * math.ceil(extent) + 1, _MAX_POSES)
    chosen = path[torch.linspace(0, _INSTANTS, poses).round().long()] if poses > 1 else path[:1] * 0
    homographies = _homographies(chosen, height, width)
    return MotionBlur(homographies, mean_view(clean, homographies))


def mean_view(clean: Tensor, homographies: Tensor) -> Tensor:
    """Average, in linear light, the views of an image (3, H, W) through (n, 3, 3) homographies."""
    linear = to_linear_light(clean)
    total = torch.zeros_like(linear)
    for homography in homographies:
        total += warp(linear, homography)
    return to_srgb((total / len(homographies)).clamp(0, 1))


def _camera_path(rng: Generator) -> Tensor:
    """Return (_INSTANTS + 1, 6) rotations and translations along x, y, z, of mean 0."""
    drift = torch.randn(6, generator=rng)
    jerks = torch.randn(_INSTANTS, 6, generator=rng)
    inertia = uniform(rng, 0.7, 0.97)
    # Rotation about the optical axis and motion along it are smaller than the shake.
    share = torch.tensor([1.0, 1.0, 0.5, 0.5, 0.5, 0.2]) * torch.rand(6, generator=rng)
    speed, position = drift * 0.5, torch.zeros(6)
    positions = [position]
    for jerk in jerks:
        speed = inertia * speed + (1 - inertia) * (drift + 3 * jerk)
        position = position + speed * share
        positions.append(position)
    path = torch.stack(positions)
    return path - path.mean(0)


def _homographies(path: Tensor, height: int, width: int) -> Tensor:
    """Return (n, 3, 3) maps K (R + t n') K^-1 of pixel positions, for a 53-degree field of view."""
    focal = float(max(height, width))
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    camera = torch.tensor([[focal, 0, centre_x], [0, focal, centre_y], [0, 0, 1]]).double()
    x, y, z = (path[:, :3] / focal).double().unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    moved = torch.linalg.matrix_exp(skew)
    moved[:, :, 2] += (path[:, 3:] / focal).double()
    return camera @ moved @ torch.linalg.inv(camera)


def _apply_homography(homography: Tensor, points: Tensor) -> Tensor:
    """Map (n, 2) positions x, y."""
    mapped = torch.cat([points, torch.ones_like(points[:, :1])], 1).double() @ homography.mT
    return mapped[..., :2] / mapped[..., 2:]


def _largest_displacement(path: Tensor, height: int, width: int) -> float:
    corners = torch.tensor([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    small = path * (1 / path.abs().max())  # measured where the displacement is still linear
    shift = _apply_homography(_homographies(small, height, width), corners.float()) - corners
    return float(shift.norm(dim=-1).max() * path.abs().max())


def warp(image: Tensor, homography: Tensor) -> Tensor:
    """Return the view of an image (C, H, W) whose pixel x is seen at ``homography`` x."""
    height, width = image.shape[1:]
    rows, columns = torch.arange(float(height)), torch.arange(float(width))
    h = homography.float()
    x = h[0, 0] * columns + h[0, 1] * rows[:, None] + h[0, 2]
    y = h[1, 0] * columns + h[1, 1] * rows[:, None] + h[1, 2]
    z = h[2, 0] * columns + h[2, 1] * rows[:, None] + h[2, 2]
    # grid_sample expects positions from -1 to 1 between the centres of the outer pixels.
    grid = torch.stack([2 * x / z / max(width - 1, 1) - 1, 2 * y / z / max(height - 1, 1) - 1], -1)
    sampled = F.grid_sample(
        image[None], grid[None], mode="bilinear", padding_mode="reflection", align_corners=True
    )
    return sampled[0]
