"""Choose the largest tile that fits into the free memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from eamamba.config import EAMambaSettings, EAMambaSRSettings, ModelSettings
from eamamba.network.layers import CHANNEL_MIXERS
from eamamba.restore.limits import address_space, available_memory

SMALLEST_TILE = 64
# Share of the free memory that one call of the network may use.
_SHARE_OF_FREE_MEMORY = 0.6
# Upper bound of the measured peak memory over the bytes counted by `activation_bytes`
# (benchmarks/growth_cpu.py, 512² and 1024² pixels): the process keeps freed blocks, and not all of
# them fit later requests.
_PEAK_OVER_COUNT = 2.4


def activation_bytes(settings: ModelSettings) -> float:
    """Return the memory needed to restore an image, in bytes per input pixel.

    Counts the float32 maps held at once in a block of the widest full-resolution level (2·dim
    channels in the U-Net's decoder, dim in EAMambaSR). During the scan, these are the block's
    input, its norm, the scanned channels, Δ, B and C of every head, and the result. During the
    mixer, they are its expanded channels, as if held in full. EAMambaSR also has the enlarged maps
    at the end. The encoder's maps kept for skip connections are added.
    """
    mamba = settings.mamba_cfg
    if isinstance(settings, EAMambaSRSettings):
        channels, enlarged = settings.dim, 2 * settings.dim * settings.upscale**2
    else:
        channels, enlarged = 2 * settings.dim, 0
    inner = mamba.expand * channels
    scanned = inner * (mamba.scan_count if mamba.scan_merge_method == "add" else 1)
    scan = 2 * channels + inner + 2 * scanned + 2 * mamba.scan_count * mamba.d_state
    expanded = CHANNEL_MIXERS[settings.channel_mixer_type].expanded_maps
    mixer = 2 * channels + max(expanded * settings.ffn_expansion_factor, 3) * channels
    skips = 3 * settings.dim
    return 4 * _PEAK_OVER_COUNT * (max(scan, mixer, enlarged) + skips)


def fitting_tile(model: object, image: Tensor) -> int | None:
    """Return the side of the largest tiles that fit in memory, or None if the whole image fits.

    Parameters
    ----------
    model : EAMamba, EAMambaSR or another
        Without ``settings`` its memory is unknown and the result is None.
    image : Tensor (batch, c, H, W)
        Already padded.
    """
    settings = getattr(model, "settings", None)
    if not isinstance(settings, EAMambaSettings | EAMambaSRSettings):
        return None
    assert isinstance(model, nn.Module)
    batch, _, height, width = image.shape
    output = 2 * image.numel() * image.element_size() * getattr(model, "upscale", 1) ** 2
    device = next(model.parameters()).device
    pixels = (_SHARE_OF_FREE_MEMORY * free_memory(device) - output) / (
        batch * activation_bytes(settings)
    )
    if height * width <= pixels:
        return None
    return max(math.isqrt(int(max(pixels, 0))), SMALLEST_TILE)


def lacking_bytes(model: object) -> int:
    """Return how many bytes a limit on this process lacks for even the smallest tile, or 0."""
    if (limit := _counted_and_left(model)) is None:
        return 0
    counted, left = limit
    needed = SMALLEST_TILE**2 * counted * _PEAK_OVER_COUNT / _SHARE_OF_FREE_MEMORY
    return max(math.ceil(needed) - left, 0)


def exceeds_limit(model: object, batch: int, height: int, width: int) -> bool:
    """Return whether an input surely needs more memory than a limit on this process leaves.

    Better not to try then: where every allocation may fail, libraries and the interpreter itself
    break in ways that no longer name the reason.
    """
    limit = _counted_and_left(model)
    return limit is not None and batch * height * width * limit[0] > limit[1]


def _counted_and_left(model: object) -> tuple[float, int] | None:
    """Return the bytes counted for each pixel and those left by a limit on this process, if any."""
    settings = getattr(model, "settings", None)
    if not isinstance(settings, EAMambaSettings | EAMambaSRSettings):
        return None
    assert isinstance(model, nn.Module)
    left = address_space() if next(model.parameters()).device.type == "cpu" else None
    return None if left is None else (activation_bytes(settings) / _PEAK_OVER_COUNT, left)


def free_memory(device: torch.device) -> int:
    """Return how many bytes a new tensor on ``device`` can use."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    return max(available_memory(), 0)
