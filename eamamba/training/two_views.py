"""Start a network for the two views of a dual-pixel sensor from one for a single view."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from eamamba.network import EAMamba


def for_two_views(model: EAMamba) -> EAMamba:
    """Return a dual-pixel network that first does to the mean of both views what `model` does.

    The first convolution takes half of each view. `model` adds its input to its output; instead, a
    dual-pixel network has a 1×1 convolution from the first features to the last ones. It is fitted
    so that, with the first and the last convolution, it passes on the mean of both views.

    Parameters
    ----------
    model : EAMamba
        For one view.

    Returns
    -------
    EAMamba
        For images (batch, 6, H, W).
    """
    settings = model.settings.model_copy(update={"inp_channels": 6, "dual_pixel_task": True})
    weights = model.state_dict()
    first, last = weights["patch_embed.proj.weight"], weights["output.weight"]
    weights["patch_embed.proj.weight"] = torch.cat((first, first), 1) / 2
    skip = _passing(first, last)
    weights["skip_conv.weight"] = skip[:, :, None, None]
    if settings.bias:
        weights["skip_conv.bias"] = -skip @ weights["patch_embed.proj.bias"]
    two_views = EAMamba(settings)
    two_views.load_state_dict(weights)
    return two_views


def _passing(first: Tensor, last: Tensor) -> Tensor:
    """Return the (d, c) matrix that makes first, matrix and last together the identity.

    By least squares on noise whose images are small, so that borders, where convolutions see zeros,
    weigh as much as the interior. The damping is what float32 can bear.

    Parameters
    ----------
    first : (c, 3, 3, 3)
    last : (3, d, 3, 3)
    """
    (c, colours), d, n, side = first.shape[:2], last.shape[1], 8, 12
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(n, colours, side, side, generator=rng, dtype=torch.float64)
    features = F.conv2d(noise, first.double(), padding=1).reshape(n * c, 1, side, side)
    filters = last.double().reshape(colours * d, 1, 3, 3)
    through = F.conv2d(features, filters, padding=1).reshape(n, c, colours, d, side**2)
    equations = through.permute(0, 2, 4, 3, 1).reshape(-1, d * c)
    products = equations.T @ equations
    products.diagonal().add_(1e-6 * products.diagonal().mean())
    return torch.linalg.solve(products, equations.T @ noise.flatten()).reshape(d, c).to(first)
