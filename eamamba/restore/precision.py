"""The precision of a network: float32, or bfloat16 where that is faster.

Weights and the selective scan stay in float32; bfloat16 is used for the matrix products.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from eamamba import __version__, paths
from eamamba.files import write_atomically

Model = TypeVar("Model", bound=nn.Module)
Precision = Literal["auto", "float32", "bfloat16"]
# Speed-up from which bfloat16 is worth its rounding errors.
_WORTHWHILE = 1.1
_TRIAL_SIZE, _REPEATS = 128, 3


class InBfloat16(nn.Module):
    """A network whose matrix products and convolutions are computed in bfloat16.

    Parameters
    ----------
    network : EAMamba or EAMambaSR
        With weights in float32.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.settings = network.settings
        self.size_multiple: int = network.size_multiple
        self.upscale: int = network.upscale

    def forward(self, image: Tensor) -> Tensor:
        """Return the output for (batch, c, H, W), in float32."""
        with torch.autocast(image.device.type, torch.bfloat16):
            return self.network(image).float()


def with_precision(network: Model, precision: Precision) -> Model | InBfloat16:
    """Return the network, or the same network computing in bfloat16.

    Parameters
    ----------
    network : EAMamba or EAMambaSR
        On the device that it will run on.
    precision : {"auto", "float32", "bfloat16"}
        "auto" times both on a small image and takes bfloat16 if that is at least 1.1 times as fast.
        The choice is cached in the user's cache folder per network, device and versions.
    """
    if precision == "auto":
        precision = _remembered_choice(network)
    return InBfloat16(network) if precision == "bfloat16" else network


def _remembered_choice(network: nn.Module) -> Precision:
    cache = paths.user_cache() / "precision.json"
    try:
        known: dict[str, Any] = dict(json.loads(cache.read_bytes()))
    except (OSError, ValueError, TypeError):
        known = {}  # missing or damaged
    key = _cache_key(network)
    if known.get(key) in ("float32", "bfloat16"):
        return known[key]
    seconds = [_seconds(each, network) for each in (network, InBfloat16(network))]
    chosen: Precision = "bfloat16" if seconds[0] > _WORTHWHILE * seconds[1] else "float32"
    try:
        write_atomically(cache, json.dumps(known | {key: chosen}, indent=1).encode())
    except OSError:
        pass  # measured again next time
    return chosen


def _cache_key(network: Any) -> str:
    """Return a key with everything that the faster precision depends on."""
    device = next(network.parameters()).device
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        machine += f" {platform.node()} {torch.get_num_threads()} threads"
    shape = hashlib.sha256(network.settings.model_dump_json().encode()).hexdigest()[:12]
    return f"eamamba {__version__}, torch {torch.__version__}, {machine}, network {shape}"


def _seconds(model: nn.Module, network: Any) -> float:
    """Return the time of the fastest of a few calls, after one that compiles and allocates."""
    weight = next(network.parameters())
    channels = network.settings.inp_channels
    image = torch.full((1, channels, _TRIAL_SIZE, _TRIAL_SIZE), 0.5).to(weight)
    times = []
    with torch.inference_mode():
        for _ in range(1 + _REPEATS):
            start = time.perf_counter()
            float(model(image).sum())  # waits for the device
            times.append(time.perf_counter() - start)
    return min(times[1:])
