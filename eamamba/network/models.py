"""The paper's two networks: EAMamba (a U-Net) and EAMambaSR (light super-resolution)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eamamba.config import EAMambaSettings, EAMambaSRSettings, ModelSettings
from eamamba.network.layers import (
    CHANNEL_MIXERS,
    LayerNorm,
    Map,
    PatchEmbed,
    add_in_pieces,
    convolve,
    downsample,
    upsample,
)
from eamamba.network.multi_head_scan import MultiHeadScan
from eamamba.selective_scan import Backend

Image = Float[Tensor, "b c h w"]


class MambaFormerBlock(nn.Module):
    """Pre-norm block: scan module, then channel mixer, each with a residual path (figure 2)."""

    def __init__(self, channels: int, settings: ModelSettings) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels, settings.layernorm_type)
        self.mamba = MultiHeadScan(channels, settings.mamba_cfg)
        self.norm2 = LayerNorm(channels, settings.layernorm_type)
        mixer = CHANNEL_MIXERS[settings.channel_mixer_type]
        self.ffn = mixer(channels, settings.ffn_expansion_factor, settings.bias)

    def forward(self, x: Map) -> Map:
        x = self.mamba(self.norm1(x), x)
        return (
            add_in_pieces(x, self._mix_channels, x)
            if self.ffn.pointwise
            else x + self._mix_channels(x)
        )

    def _mix_channels(self, x: Map) -> Map:
        return self.ffn(self.norm2(x))


class Blocks(nn.Sequential):
    """A sequence of blocks, the first of which may be recomputed in the backward pass."""

    def __init__(self, channels: int, count: int, settings: ModelSettings) -> None:
        super().__init__(*(MambaFormerBlock(channels, settings) for _ in range(count)))
        self.recompute(settings.checkpoint_percentage)

    def recompute(self, share: float) -> None:
        """Recompute this share of the blocks from now on."""
        self.recomputed = round(share * len(self))

    def forward(self, x: Map) -> Map:
        for i, block in enumerate(self):
            if i < self.recomputed and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x


class EAMamba(nn.Module):
    """The four-level U-Net for same-resolution restoration (paper section 3.1, figure 2).

    Parameters
    ----------
    settings : EAMambaSettings
        Sizes and variants; the defaults are the paper's model (25.3 M parameters).

    Notes
    -----
    Input and output are images in [0, 1] of shape (batch, channels, H, W) with H and W
    multiples of `size_multiple`; `eamamba.restore.restore` pads any other size.
    """

    size_multiple = 8
    upscale = 1

    def __init__(self, settings: EAMambaSettings) -> None:
        super().__init__()
        self.settings = settings
        C, blocks = settings.dim, settings.num_blocks

        self.patch_embed = PatchEmbed(settings.inp_channels, C)
        self.encoder_level1 = Blocks(C, blocks[0], settings)
        self.down1_2 = downsample(C)
        self.encoder_level2 = Blocks(2 * C, blocks[1], settings)
        self.down2_3 = downsample(2 * C)
        self.encoder_level3 = Blocks(4 * C, blocks[2], settings)
        self.down3_4 = downsample(4 * C)
        self.latent = Blocks(8 * C, blocks[3], settings)
        self.up4_3 = upsample(8 * C)
        self.reduce_chan_level3 = nn.Conv2d(8 * C, 4 * C, 1, bias=settings.bias)
        self.decoder_level3 = Blocks(4 * C, blocks[2], settings)
        self.up3_2 = upsample(4 * C)
        self.reduce_chan_level2 = nn.Conv2d(4 * C, 2 * C, 1, bias=settings.bias)
        self.decoder_level2 = Blocks(2 * C, blocks[1], settings)
        self.up2_1 = upsample(2 * C)
        self.decoder_level1 = Blocks(2 * C, blocks[0], settings)
        self.refinement = Blocks(2 * C, settings.num_refinement_blocks, settings)
        if settings.dual_pixel_task:
            self.skip_conv = nn.Conv2d(C, 2 * C, 1, bias=settings.bias)
        self.output = nn.Conv2d(2 * C, settings.out_channels, 3, padding=1, bias=settings.bias)

    def forward(self, image: Image) -> Image:
        _check_image(image, self.settings.inp_channels, self.size_multiple)
        embedded = self.patch_embed(image.permute(0, 2, 3, 1))
        level1 = self.encoder_level1(embedded)
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        x = self.latent(self.down3_4(level3))

        x = convolve(self.reduce_chan_level3, torch.cat((self.up4_3(x), level3), -1))
        x = self.decoder_level3(x)
        x = convolve(self.reduce_chan_level2, torch.cat((self.up3_2(x), level2), -1))
        x = self.decoder_level2(x)
        x = self.decoder_level1(torch.cat((self.up2_1(x), level1), -1))
        x = self.refinement(x)
        if self.settings.dual_pixel_task:
            x = x + convolve(self.skip_conv, embedded)
            return convolve(self.output, x).permute(0, 3, 1, 2)
        return convolve(self.output, x).permute(0, 3, 1, 2) + image


class ResidualGroup(nn.Module):
    """Blocks and a 3×3 convolution inside a residual connection."""

    def __init__(self, count: int, settings: EAMambaSRSettings) -> None:
        super().__init__()
        self.blocks = Blocks(settings.dim, count, settings)
        self.conv = nn.Conv2d(settings.dim, settings.dim, 3, padding=1)

    def forward(self, x: Map) -> Map:
        return x + convolve(self.conv, self.blocks(x))


class EAMambaSR(nn.Module):
    """The light network for bicubic super-resolution ×2, ×3, ×4.

    Parameters
    ----------
    settings : EAMambaSRSettings
        Sizes, scale and variants; the defaults are the paper's ×2 model (0.73 M parameters).

    Notes
    -----
    Input (batch, 3, H, W) in [0, 1], any size; output (batch, 3, H·scale, W·scale).
    """

    size_multiple = 1

    def __init__(self, settings: EAMambaSRSettings) -> None:
        super().__init__()
        self.settings = settings
        self.upscale = settings.upscale
        C, bias = settings.dim, settings.bias
        self.conv_first = nn.Conv2d(settings.inp_channels, C, 3, padding=1, bias=bias)
        self.layers = nn.ModuleList(ResidualGroup(n, settings) for n in settings.num_blocks)
        self.norm = LayerNorm(C, settings.layernorm_type)
        self.conv_after_body = nn.Conv2d(C, C, 3, padding=1, bias=bias)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(C, C, 3, padding=1), nn.LeakyReLU(0.01))
        steps = {2: (2,), 3: (3,), 4: (2, 2)}[settings.upscale]
        stages = [(nn.Conv2d(C, s * s * C, 3, padding=1), nn.PixelShuffle(s)) for s in steps]
        self.upsample = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.conv_last = nn.Conv2d(C, settings.out_channels, 3, padding=1, bias=bias)

    def forward(self, image: Image) -> Image:
        _check_image(image, self.settings.inp_channels, self.size_multiple)
        first = x = convolve(self.conv_first, image.permute(0, 2, 3, 1))
        for group in self.layers:
            x = group(x)
        x = convolve(self.conv_after_body, self.norm(x)) + first
        x = self.conv_before_upsample(x.permute(0, 3, 1, 2))
        return self.conv_last(self.upsample(x))


Network = EAMamba | EAMambaSR


def build(settings: ModelSettings) -> Network:
    """Construct a freshly initialised network from settings."""
    if isinstance(settings, EAMambaSRSettings):
        return EAMambaSR(settings)
    return EAMamba(settings)


def set_backend(model: nn.Module, backend: Backend) -> None:
    """Choose the selective scan's backend in every block of ``model``."""
    for module in model.modules():
        if isinstance(module, MultiHeadScan):
            module.backend = backend


def load_kernels(model: nn.Module) -> None:
    """Load the scan's kernels for inference on the CPU: without memory that fails in odd ways."""
    with torch.inference_mode():
        for module in model.modules():
            if isinstance(module, MultiHeadScan):
                module.load_kernel()


def set_recomputed(model: nn.Module, share: float) -> None:
    """Choose the share of all blocks whose activations are recomputed in the backward pass."""
    for module in model.modules():
        if isinstance(module, Blocks):
            module.recompute(share)


def _check_image(image: Tensor, channels: int, multiple: int) -> None:
    if image.dim() != 4 or image.shape[1] != channels:
        raise ValueError(
            f"expected images of shape (batch, {channels}, H, W), got {tuple(image.shape)}"
        )
    if image.device.type == "cpu" and image.dtype in (torch.float16, torch.bfloat16):
        raise TypeError(
            f"{image.dtype} on a CPU: the selective scan computes in float32 there; use "
            "model.float() and a float32 image, or torch.autocast('cpu', torch.bfloat16) with them"
        )
    if image.shape[2] % multiple or image.shape[3] % multiple:
        raise ValueError(
            f"expected height and width in multiples of {multiple}, got "
            f"{image.shape[2]}×{image.shape[3]}; eamamba.restore pads any size"
        )
