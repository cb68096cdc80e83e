"""Data of the page *Scan explorer*: scan orders as code, and the memory of a real network.

How fast a head forgets depends on the pixels, since Δ is computed from each. `scan_data.js` has Δ
and A of the first block of a network in the package for a small picture. No other scan precedes
that block, so its Δ is the same in any order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling
from scripted_page import as_base64, copy_page, write_script
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode

from eamamba.cards import shipped_cards
from eamamba.checkpoint import load_model
from eamamba.network import Network

WEIGHTS = "denoise_gaussian"
PHOTOGRAPH = Path("data") / "photographs" / "held_out" / "cid22_53435.webp"
SIDES = (8, 16, 32, 64)
"""Size of the picture in pixels: the whole photograph, reduced."""
SMALLEST_DELTA, LARGEST_DELTA = 1e-4, 1.0
"""Ends of the logarithmic scale on which Δ is stored in 8 bits, with steps of 3.7 %."""


class _FirstScan(TorchDispatchMode):
    """Record the arguments of the first selective scan that runs."""

    arguments: tuple[Any, ...] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.eamamba.selective_scan.default and self.arguments is None:
            self.arguments = args
        return func(*args, **(kwargs or {}))


def memory(network: Network, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the step sizes and decay rates of the heads of a network's first block.

    Parameters
    ----------
    network : Network
    picture : (h, w, 3) in [0, 1]

    Returns
    -------
    delta : (heads, h * w, channels)
        The step size Δ of every pixel, after the softplus.
    A : (heads, channels, states)
        The rates of decay, negative: a step with Δ leaves exp(Δ A) of a state.
    """
    image = torch.from_numpy(picture).float().permute(2, 0, 1)[None]
    with torch.enable_grad(), _FirstScan() as first:  # for inference, a shortcut computes no Δ
        network(image)
    if first.arguments is None:
        raise ValueError(f"{type(network).__name__} ran no selective scan")
    _, delta, A = (argument.detach() for argument in first.arguments[:3])
    return softplus(delta)[0].transpose(0, 1).numpy(), A.numpy()


def write_scan_explorer(root: Path, target: Path) -> None:
    """Write everything that the page loads.

    Parameters
    ----------
    root : Path
        The project's folder, with ``web/`` and ``data/photographs/``.
    target : Path
        Folder to write to; its contents are replaced.
    """
    copy_page(root, "explorer", target)
    network, card = load_model(WEIGHTS), shipped_cards()[WEIGHTS]
    with Image.open(root / PHOTOGRAPH) as photograph:
        pictures = [
            photograph.convert("RGB").resize((side, side), Resampling.BOX) for side in SIDES
        ]
    shown = {}
    for picture in pictures:
        delta, A = memory(network, np.asarray(picture) / 255)
        shown[picture.width] = {
            "rgb": as_base64(picture.tobytes()),
            "delta": as_base64(to_levels(delta)),
        }
    data = {
        "network": (root / "web" / "eamamba.js").read_text(encoding="utf-8"),
        "weights": f"{card.name}: {card.title}",
        "pictures": shown,
        "deltaRange": [SMALLEST_DELTA, LARGEST_DELTA],
        "A": [[[float(f"{a:.4g}") for a in rates] for rates in head] for head in A.tolist()],
    }
    write_script(target / "scan_data.js", "self.eamambaScans", data)


def to_levels(delta: np.ndarray) -> bytes:
    """Return Δ in 255 equal steps of its logarithm, a byte each."""
    place = np.log(delta / SMALLEST_DELTA) / np.log(LARGEST_DELTA / SMALLEST_DELTA)
    return np.rint(255 * place.clip(0, 1)).astype(np.uint8).tobytes()
