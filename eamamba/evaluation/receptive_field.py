"""The effective receptive field: which input pixels affect an output pixel (paper section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eamamba.config import EAMambaError, TaskSettings
from eamamba.datasets import centre_crop
from eamamba.evaluation.cases import cases

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
    if position not in POSITIONS:
        raise ReceptiveFieldError(f"no position {position!r}; use one of {', '.join(POSITIONS)}")
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
    row, column = (
        min(int(share * size), size - 1)
        for share, size in zip(POSITIONS[position], output.shape[-2:], strict=True)
    )
    (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), seen)
    return gradient[0].abs().sum(0).float().cpu()


def for_display(field: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Return value^¼ scaled to a maximum of 1, as in the paper; zeros stay zeros."""
    root = field**0.25
    return root / root.max() if root.max() > 0 else root


def network_inputs(settings: TaskSettings) -> list[Tensor]:
    """Return the images over which the receptive field of a task is averaged.

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
    inputs = list(islice(_degraded_crops(settings), evaluation.receptive_field_images))
    if not inputs:
        raise ReceptiveFieldError(
            f"no test image has {evaluation.receptive_field_size} pixels each way; "
            "lower evaluation.receptive_field_size"
        )
    return inputs


def _degraded_crops(settings: TaskSettings) -> Iterator[Tensor]:
    levels = settings.evaluation.sigmas_255
    middle = settings.evaluation.model_copy(update={"sigmas_255": levels[len(levels) // 2 :][:1]})
    size = middle.receptive_field_size
    for case in cases(settings.model_copy(update={"evaluation": middle})):
        height, width = (side // settings.scale for side in case.clean.shape[-2:])
        if min(height, width) >= size:
            yield centre_crop(case.degraded[..., :height, :width], size)
