"""Scores of the published protocols, as specified in the settings."""

from __future__ import annotations

from torch import Tensor

from eamamba.config import ProtocolSettings
from eamamba.evaluation.metrics import (
    PAPER_CROP,
    Image,
    cut_border,
    luminance,
    psnr,
    round_to_8_bits,
    ssim,
    volume_ssim,
)

Scores = dict[str, float]


def score(image: Tensor, clean: Tensor, protocol: ProtocolSettings) -> Scores:
    """Score an image against the clean one.

    Parameters
    ----------
    image, clean : (3, H, W)
    protocol : ProtocolSettings

    Returns
    -------
    dict
        ``psnr_db`` and ``ssim`` as the protocol defines them. Protocols with volume SSIM also get
        the usual one, as ``channel_ssim``.
    """
    pair: list[Image] = [image, clean]
    if protocol.eight_bit:
        pair = [round_to_8_bits(one) for one in pair]
    if protocol.colour != "rgb":
        pair = [luminance(one) for one in pair]
    if protocol.colour == "y8":
        pair = [round_to_8_bits(one) for one in pair]
    first, second = (cut_border(one, protocol.border) for one in pair)
    scores = {"psnr_db": psnr(first, second)}
    channel = ssim(first, second, crop=PAPER_CROP)
    if protocol.ssim == "channel":
        return scores | {"ssim": channel}
    return scores | {"ssim": volume_ssim(first, second), "channel_ssim": channel}
