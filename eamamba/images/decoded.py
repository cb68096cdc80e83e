"""An image as a decoder returns it, and its conversion to a `Photo`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from eamamba.images.metadata import Metadata, fitting_profile
from eamamba.images.photo import Photo


@dataclass(frozen=True)
class Decoded:
    """An image as a decoder returns it.

    Attributes
    ----------
    samples : array (H, W, 1 to 4)
        Gray or RGB, then transparency if any, from 0 to `white`; not yet turned upright.
    white : float
        The value of white and of full opacity.
    bits : {8, 16}
        Bit depth to write the samples with.
    """

    samples: np.ndarray
    white: float = 255.0
    bits: int = 8
    metadata: Metadata = field(default_factory=Metadata)
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    pictures: int = 1
    notes: tuple[str, ...] = ()


def to_photo(decoded: Decoded) -> Photo:
    """Turn a decoded image upright and scale it to [0, 1]."""
    about = decoded.metadata
    turned = _turn(decoded.samples, about.orientation).transpose(2, 0, 1)
    scaled = np.ascontiguousarray(turned).astype(np.float32) / np.float32(decoded.white)
    channels = torch.from_numpy(scaled)
    is_gray, has_alpha = len(channels) < 3, len(channels) in (2, 4)
    rgb = channels[:1].repeat(3, 1, 1) if is_gray else channels[:3].contiguous()
    return Photo(
        rgb,
        channels[-1:].clone() if has_alpha else None,
        is_gray,
        decoded.bits,
        fitting_profile(about.icc_profile, is_gray),
        about.exif,
        about.xmp,
        about.dpi,
        decoded.png_chunks,
        decoded.pictures,
        decoded.notes,
    )


def _turn(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, channels) upright; EXIF 2.3, tag Orientation."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples
