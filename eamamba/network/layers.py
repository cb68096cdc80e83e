"""Norms, channel mixers and resampling.

Feature maps are ``(batch, height, width, channels)`` throughout the network. Matrix products and
norms then act on contiguous rows, and a convolution sees the same memory as a channels-last image,
so nothing is copied to change the layout.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Map = Float[Tensor, "b h w c"]

PIECE = 2**18
"""Elements of the result that `add_in_pieces` computes at a time: few enough to fit into
the caches, and enough that launching the operators costs little."""


def add_in_pieces(x: Map, function: Callable[..., Map], *maps: Map) -> Map:
    """Return ``x + function(*maps)``, for a function that acts on every pixel independently.

    On a CPU and without gradients, large maps are passed to it in pieces of shape (pixels,
    channels), so that its intermediate results stay in the cache.
    """
    # checked first, so that a graph for images of any size depends on no size
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        return x + function(*maps)
    if x.numel() <= PIECE or x.device.type != "cpu":
        return x + function(*maps)
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    pixels = max(PIECE // x.shape[-1], 1)
    pieces = (one.flatten(0, -2).split(pixels) for one in (result, x, *maps))
    for target, old, *others in zip(*pieces, strict=True):
        torch.add(old, function(*others), out=target)
    return result


def convolve(conv: nn.Conv2d, x: Map) -> Map:
    """Apply a 2-D convolution to a channels-last map; a 1×1 convolution is a matrix product."""
    if conv.kernel_size == (1, 1) and conv.groups == 1:
        return F.linear(x, conv.weight.flatten(1), conv.bias)
    y = conv(x.permute(0, 3, 1, 2))
    return y.permute(0, 2, 3, 1).contiguous()  # a no-op where the convolution kept the layout


class BiasFree(nn.Module):
    """Scale by the standard deviation over the channels, without subtracting the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Map) -> Map:
        variance = x.var(-1, unbiased=False, keepdim=True)
        return x * torch.rsqrt(variance + 1e-5) * self.weight


NORMS: dict[str, type[nn.Module]] = {"WithBias": nn.LayerNorm, "BiasFree": BiasFree}


class LayerNorm(nn.Module):
    """The block's norm; ``body``, one of `NORMS`, is its name in released checkpoints."""

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.body = NORMS[kind](channels)

    def forward(self, x: Map) -> Map:
        return self.body(x)


class Mixer(nn.Module):
    """A channel mixer: from map to map, built from (channels, expansion, bias).

    Attributes
    ----------
    pointwise : bool
        Whether it treats every pixel independently, so that an image can be processed in pieces.
    expanded_maps : float
        Maps held at once, in units of channels × expansion; determines the memory that it needs.
    """

    pointwise: bool
    expanded_maps: float


class SimpleGate(Mixer):
    """Split the expanded channels into two halves and multiply them."""

    pointwise = True
    expanded_maps = 1.5

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.project_out = nn.Conv2d(hidden // 2, channels, 1, bias=bias)

    def forward(self, x: Map) -> Map:
        first, second = convolve(self.project_in, x).chunk(2, -1)
        return convolve(self.project_out, first * second)


class FeedForward(Mixer):
    """Two pointwise layers with an exact GELU in between."""

    pointwise = True
    expanded_maps = 2

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Map) -> Map:
        return convolve(self.project_out, F.gelu(convolve(self.project_in, x)))


class GatedDconv(Mixer):
    """Gated depthwise-convolution feed-forward network (Restormer, Zamir et al. 2022)."""

    pointwise = False
    expanded_maps = 4

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Map) -> Map:
        gate, value = convolve(self.dwconv, convolve(self.project_in, x)).chunk(2, -1)
        return convolve(self.project_out, F.gelu(gate) * value)


class ChannelAttention(Mixer):
    """Depthwise convolution weighted by channel attention; ignores the expansion factor."""

    pointwise = False
    expanded_maps = 0

    def __init__(self, channels: int, _expansion: float, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=bias)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)
        self.ca = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, 1, bias=bias),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=bias),
            nn.Sigmoid(),
        )
        self.conv3 = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Map) -> Map:
        x = convolve(self.conv2, convolve(self.conv1, x))
        weight = self.ca(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return convolve(self.conv3, x * weight)


CHANNEL_MIXERS: dict[str, type[Mixer]] = {
    "simple": SimpleGate,
    "ffn": FeedForward,
    "gdfn": GatedDconv,
    "cca": ChannelAttention,
}


class PatchEmbed(nn.Module):
    """3×3 convolution from the image to the first feature map."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Map) -> Map:
        return convolve(self.proj, x)


class Resample(nn.Module):
    """3×3 convolution, then pixel unshuffling or shuffling (`downsample`, `upsample`)."""

    def __init__(self, channels: int, out_channels: int, shuffle: nn.Module) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.body = nn.Sequential(conv, shuffle)

    def forward(self, x: Map) -> Map:
        return self.body(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()


def downsample(channels: int) -> Resample:
    """Halve height and width, double the channels."""
    return Resample(channels, channels // 2, nn.PixelUnshuffle(2))


def upsample(channels: int) -> Resample:
    """Double height and width, halve the channels."""
    return Resample(channels, 2 * channels, nn.PixelShuffle(2))
