"""Data of the page *Restore your photo here*, as scripts: pages opened as files load nothing else.

`runtime.js` has the network's code and is loaded with the page; weights and the example are loaded
on demand.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open
from scripted_page import as_base64, copy_page, write_script

from eamamba.cards import Card, shipped_cards
from eamamba.cards.card import FORMAT
from eamamba.paths import PRETRAINED

EXAMPLE = Path("data") / "photographs" / "held_out" / "cid22_1147124.webp"
EXAMPLE_SIGMA_255 = 25
# (architecture, dim) -> memory of a worker for each pixel of a large tile of the input, measured
TILE_BYTES = {("eamamba", 24): 700, ("eamamba", 32): 1200, ("eamambasr", 32): 9500}


def write_browser_page(root: Path, target: Path) -> None:
    """Write everything that the page loads.

    Parameters
    ----------
    root : Path
        The project's folder, with ``web/`` and ``data/photographs/``.
    target : Path
        Folder to write to; its contents are replaced.
    """
    copy_page(root, "page", target)
    (target / "models").mkdir()
    shipped = shipped_cards().items()
    cards = {name: card for name, card in shipped if _settings(name)["inp_channels"] == 3}
    web = root / "web"
    runtime = {
        "network": (web / "eamamba.js").read_text(encoding="utf-8"),
        "tiles": (web / "tiles.js").read_text(encoding="utf-8"),
        "kernels": {
            "plain": as_base64((web / "kernels.wasm").read_bytes()),
            "relaxed": as_base64((web / "kernels_relaxed.wasm").read_bytes()),
        },
        "models": [_model(card) for card in cards.values()],
    }
    write_script(target / "runtime.js", "self.eamambaRuntime", runtime)
    for name in cards:
        weights = as_base64((PRETRAINED / f"{name}.safetensors").read_bytes())
        file = target / "models" / f"{name}.js"
        write_script(file, f"(self.eamambaWeights ??= {{}})[{json.dumps(name)}]", weights)
    example = {"name": f"{EXAMPLE.stem}_noisy.png", "png": as_base64(_noisy(root / EXAMPLE))}
    write_script(target / "example.js", "self.eamambaExample", example)


def _model(card: Card) -> dict[str, Any]:
    """Return the page's description of a network, and how to run it."""
    size = f"{card.parameters / 1e6:.1f} million parameters"
    settings = _settings(card.name)
    return {
        "name": card.name,
        "title": f"{card.title} ({size})",
        "removes": card.removes,
        "limits": card.limits,
        "megabytes": f"{card.bytes / 1e6:.1f}",
        "scale": settings.get("upscale", 1),
        "tileBytes": TILE_BYTES[card.architecture, settings["dim"]],
    }


def _settings(name: str) -> dict[str, Any]:
    with safe_open(str(PRETRAINED / f"{name}.safetensors"), "numpy") as file:
        settings: dict[str, Any] = json.loads(file.metadata()[FORMAT])["settings"]
    return settings


def _noisy(photograph: Path) -> bytes:
    """Return a photograph as PNG with the noise that the first network removes."""
    with Image.open(photograph) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    noise = np.random.default_rng(0).normal(0, EXAMPLE_SIGMA_255, pixels.shape)
    buffer = io.BytesIO()
    noisy = np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
