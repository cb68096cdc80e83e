"""The effective receptive field: which input pixels affect an output pixel (paper section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eamamba.config import EAMambaError, TaskSettings
from eamamba.datasets import centre_crop
from eamamba.degradations import evaluation_noise
from eamamba.evaluation.cases import Cases

POSITIONS: dict[str, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "top left": (0, 0),
    "top right": (0, 1),
    "bottom left": (1, 0),
    "bottom right": (1, 1),
}
"""Position -> (row, column) of the output pixel, as fractions of height and width."""


class ReceptiveFieldError(EAMambaError, ValueError):
    """An unknown position, or no suitable images to average over."""


def effective_receptive_field(
    model: nn.Module, images: Iterable[Float[Tensor, "c h w"]], position: str = "centre"
) -> Float[Tensor, "h w"]:
    """Return how strongly each input pixel affects one output pixel.

    Parameters
    ----------
    model : module
        (1, c, H, W) to (1, c', H', W'), on any device.
    images : iterable of Tensor (c, H, W)
        As the network sees them (degraded), all of the same size.
    position : str
        The output pixel, one of `POSITIONS`. The centre of an even number of pixels is the later
        of the two in the middle.

    Returns
    -------
    Tensor (H, W) float32 on the CPU, non-negative
        |∂ Σ_c output[c, position] / ∂ input|, summed over the input channels and averaged over the
        images. See `for_display`.

    Raises
    ------
    ReceptiveFieldError
        If the position is unknown, or there are no images or images of different sizes.

    References
    ----------
    Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep
    convolutional neural networks", NeurIPS 2016.
    """
    _pixel(position, 1, 1)  # before any network runs
    fields = [_input_gradient(model, image, position) for image in images]
    if not fields or len({field.shape for field in fields}) > 1:
        sizes = sorted({"×".join(map(str, field.shape)) for field in fields})
        raise ReceptiveFieldError(
            f"images of {', '.join(sizes) or 'no'} pixels; expected one or more of one size"
        )
    return torch.stack(fields).mean(0)


def _input_gradient(model: nn.Module, image: Tensor, position: str) -> Tensor:
    first = next(model.parameters(), image)
    seen = image[None].detach().to(first).requires_grad_()
    output = model(seen)
    row, column = _pixel(position, *output.shape[-2:])
    (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), seen)
    return gradient[0].abs().sum(0).float().cpu()


def _pixel(position: str, height: int, width: int) -> tuple[int, int]:
    if position not in POSITIONS:
        raise ReceptiveFieldError(f"no position {position!r}; use one of {', '.join(POSITIONS)}")
    down, right = POSITIONS[position]
    return min(int(down * height), height - 1), min(int(right * width), width - 1)


def high_contribution_area(
    field: Float[Tensor, "h w"], share: float, position: str = "centre"
) -> float:
    """Return the area that makes a given share of the contribution to an output pixel.

    Parameters
    ----------
    field : Tensor (H, W), non-negative
        As returned by `effective_receptive_field` for the position.
    share : float
        Fraction of the total contribution, between 0 and 1. The contribution of an input
        pixel is log10(1 + value).
    position : str
        The output pixel, one of `POSITIONS`.

    Returns
    -------
    float
        Area of the smallest square around the output pixel that contains the share, clipped to the
        image, as a fraction of the image's area. 0 if nothing contributes.

    Raises
    ------
    ReceptiveFieldError
        If the position is unknown, or the share is not between 0 and 1.

    References
    ----------
    Ding, Zhang, Han, Ding, "Scaling up your kernels to 31x31: revisiting large kernel design in
    CNNs", CVPR 2022, section 4.3. They sum the gradients of all images; a mean does not depend on
    their number.
    """
    if not 0 < share < 1:
        raise ReceptiveFieldError(f"a share of {share:g}; expected more than 0 and less than 1")
    height, width = field.shape
    row, column = _pixel(position, height, width)
    rows, columns = (torch.arange(height) - row).abs(), (torch.arange(width) - column).abs()
    distance = torch.maximum(rows[:, None], columns)  # half the side of the square with the pixel
    contribution = torch.log10(1 + field.double())
    within = torch.bincount(distance.ravel(), contribution.ravel()).cumsum(0)
    if within[-1] == 0:
        return 0.0
    enough = torch.searchsorted(within, share * within[-1])
    return (distance <= enough).double().mean().item()


def for_display(field: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Return value^¼ scaled to a maximum of 1, as in the paper; zeros stay zeros."""
    root = field**0.25
    return root / root.max() if root.max() > 0 else root


def network_inputs(settings: TaskSettings, noise_255: float | None = None) -> list[Tensor]:
    """Return the images over which the receptive field of a task is averaged.

    Parameters
    ----------
    settings : TaskSettings
    noise_255 : float, optional
        Standard deviation in 8-bit units of Gaussian noise: the level of a test that adds noise of
        several, else it comes on top of the task's degradation.

    Returns
    -------
    list of Tensor (c, S, S) float32
        Centre crops of the benchmark images, degraded as in the test, with the middle noise level
        if there are several. At most ``receptive_field_images``, with S =
        ``receptive_field_size``; smaller images are skipped.

    Raises
    ------
    DatasetError
        If a benchmark's folder is missing or has no images.
    ReceptiveFieldError
        If no image is large enough.
    """
    evaluation = settings.evaluation
    inputs = list(islice(_degraded_crops(settings, noise_255), evaluation.receptive_field_images))
    if not inputs:
        raise ReceptiveFieldError(
            f"no test image has {evaluation.receptive_field_size} pixels on both sides; "
            "lower evaluation.receptive_field_size"
        )
    return inputs


def _degraded_crops(settings: TaskSettings, noise_255: float | None) -> Iterator[Tensor]:
    levels = settings.evaluation.sigmas_255
    tested = levels[len(levels) // 2 :][:1] if noise_255 is None else (noise_255,)
    evaluation = settings.evaluation.model_copy(update={"sigmas_255": tested})
    size = evaluation.receptive_field_size
    for case in Cases(settings.model_copy(update={"evaluation": evaluation})):
        height, width = (side // settings.scale for side in case.clean.shape[-2:])
        if min(height, width) < size:
            continue
        crop = centre_crop(case.degraded[..., :height, :width], size)
        if noise_255 is not None and not case.condition.startswith("sigma"):
            crop = crop + evaluation_noise(*crop.shape) * (noise_255 / 255)
        yield crop
