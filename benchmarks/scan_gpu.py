"""The selective scan on a CUDA device: the Triton backend compared with mamba_ssm and its gathers.

Shapes are those of the paper's network at several image sizes. Times are device time (graph replays
over inputs that do not fit into the cache together) and the time of eager calls. Shares are
relative to the device's own copy bandwidth, for the minimum traffic of any scan: each input read
once, each output written once.

    python benchmarks/scan_gpu.py --csv results/benchmarks/scan_gpu.csv
    python benchmarks/scan_gpu.py --sweep      # find the fastest work split
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from gpu_timing import copy_gigabytes_per_second, device_ms, eager_ms, peak_megabytes
from torch import Tensor

from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import mamba_ssm, triton
from eamamba.selective_scan.triton import Config, Tile

K, N = 8, 16
BACKENDS = {"triton": triton, "mamba_ssm": mamba_ssm}
# channels of the feature map, and the factor by which it is smaller than the image
LEVELS = [(64, 1), (128, 1), (128, 2), (256, 4), (512, 8)]


class Shape(NamedTuple):
    batch: int
    side: int
    channels: int
    divisor: int

    @property
    def length(self) -> int:
        return (self.side // self.divisor) ** 2

    def floats(self, training: bool) -> int:
        """Count the floats that a forward pass (in training, both passes) must read and write."""
        D = self.channels // K
        forward = 3 * D + 2 * N  # u, delta, y; B, C
        backward = 5 * D + 4 * N  # u, delta, grad_y and two gradients; B, C and theirs
        per_step = forward + backward if training else forward
        return self.batch * self.length * K * per_step


class Inputs(NamedTuple):
    tensors: tuple[Tensor, ...]
    order: Tensor
    grad_y: Tensor


def draw(shape: Shape, seed: int) -> Inputs:
    """Draw inputs laid out as in the network."""
    rng = torch.Generator("cuda").manual_seed(seed)
    D, L = shape.channels // K, shape.length
    normal = partial(torch.randn, generator=rng, device="cuda")
    projected = normal(K, shape.batch, L, D + 2 * N).permute(1, 2, 0, 3)
    delta, B, C = projected.split((D, N, N), -1)
    delta.sub_(4)  # step sizes of about 0.02, as after training
    A = -torch.arange(1.0, N + 1, device="cuda").expand(K, D, N).contiguous()
    u, grad_y = (normal(shape.batch, L, K, D) for _ in range(2))
    side = shape.side // shape.divisor
    order = scan_order("diagonal", K, side, side, "cuda")
    return Inputs((u, delta, A, B, C, normal(K, D)), order, grad_y)


def sets(shape: Shape) -> list[Inputs]:
    """Draw enough inputs that they do not fit into the cache together."""
    cache = 3 * torch.cuda.get_device_properties(0).L2_cache_size
    count = -(-cache // (4 * shape.floats(training=False)))
    return [draw(shape, seed) for seed in range(count)]


def forward(backend: str, x: Inputs) -> None:
    BACKENDS[backend].forward(*x.tensors, x.order, False)


def training(backend: str, x: Inputs) -> None:
    _, states = BACKENDS[backend].forward(*x.tensors, x.order, True)
    BACKENDS[backend].backward(x.grad_y, *x.tensors, x.order, states)


def measure(shape: Shape, backends: list[str], bandwidth: float) -> Iterator[dict[str, object]]:
    """Time every backend on one shape, with and without the backward pass."""
    inputs = sets(shape)
    for backend, pass_ in product(backends, (forward, training)):
        calls = [partial(pass_, backend, x) for x in inputs]
        milliseconds = device_ms(calls)
        gigabytes = 4e-9 * shape.floats(pass_ is training)
        yield {
            **shape._asdict(),
            "head_channels": shape.channels // K,
            "pass": pass_.__name__,
            "backend": backend,
            "device_ms": milliseconds,
            "eager_ms": eager_ms(calls),
            "share_of_copy_bandwidth": gigabytes / milliseconds * 1e3 / bandwidth,
            "extra_mb": peak_megabytes(calls[0]),
        }


def compare(quick: bool, csv: Path | None) -> None:
    """Measure all shapes, print a table and write the CSV file."""
    missing = mamba_ssm.available()
    backends = ["triton"] if missing else ["triton", "mamba_ssm"]
    bandwidth = copy_gigabytes_per_second()
    name = torch.cuda.get_device_name()
    print(f"{name}: a copy moves {bandwidth:.0f} GB/s; mamba_ssm: {missing or 'measured'}")
    images = [(1, 256), (8, 128)] if quick else [(1, 128), (1, 256), (1, 512), (1, 1024),
                                                 (8, 128), (8, 256)]  # fmt: skip
    rows: list[dict[str, object]] = []
    for (batch, side), (channels, divisor) in product(images, LEVELS):
        rows += measure(Shape(batch, side, channels, divisor), backends, bandwidth)
        torch.cuda.empty_cache()
    table = pd.DataFrame(rows)
    if csv:
        csv.parent.mkdir(parents=True, exist_ok=True)
        (table.assign(device=name, copy_gb_per_s=bandwidth).round(5)).to_csv(csv, index=False)
    wide = table.pivot(
        index=["batch", "side", "channels", "divisor"],
        columns=["pass", "backend"],
        values=["device_ms", "eager_ms", "share_of_copy_bandwidth"],
    )
    for pass_ in ("forward", "training"):
        view = wide.xs(pass_, axis=1, level="pass")
        if not missing:
            view["times", "faster"] = view["device_ms", "mamba_ssm"] / view["device_ms", "triton"]
        print(f"\n{pass_}\n{view.round(3).to_string()}")


def sweep() -> None:
    """Time every sensible split on one shape per number of channels; print the best as a table."""
    for channels, divisor in ((64, 1), (128, 1), (256, 4), (512, 8)):
        D = channels // K
        inputs = [sets(Shape(batch, 256, channels, divisor)) for batch in (1, 8)]
        forward_cut = _best(D, inputs, backward=False)
        backward_cut = _best(D, inputs, backward=True)
        best = Config(forward_cut.forward, backward_cut.backward, backward_cut.kept)
        print(f"    {D}: {best},", flush=True)
        torch.cuda.empty_cache()


def _cuts(D: int, backward: bool) -> Iterator[Config]:
    """Yield the splits whose tiles fit into the registers of a program's threads."""
    for steps, warps in product((4, 8), sorted({max(1, D // 16), D // 8})):
        if steps * D * N // (32 * warps) > (32 if backward else 64):
            continue
        for warps_there in (16, 32, 64):
            tile = Tile(steps, warps, max(1, warps_there // warps))
            for kept in (steps, 16) if backward else (16,):
                yield Config(tile._replace(steps=4) if backward else tile, tile, kept)


def _best(D: int, inputs: list[list[Inputs]], backward: bool) -> Config:
    """Return the split that is fastest over all batch sizes in one pass; print the first few."""
    times: dict[Config, tuple[float, ...]] = {}
    for cut in _cuts(D, backward):
        triton.CONFIGS[D] = cut
        times[cut] = tuple(_pass_ms(batch, backward) for batch in inputs)
    order = sorted(times, key=lambda cut: prod(times[cut]))
    for cut in order[:6]:
        milliseconds = ", ".join(f"{ms:.4f}" for ms in times[cut])
        tile = cut.backward if backward else cut.forward
        name = f"backward D {D} {tuple(tile)} kept {cut.kept}" if backward else (
            f"forward D {D} {tuple(tile)}")  # fmt: skip
        print(f"  {name}: {milliseconds} ms")
    return order[0]


def _pass_ms(inputs: list[Inputs], backward: bool) -> float:
    if not backward:
        return device_ms([partial(forward, "triton", x) for x in inputs], seconds=0.05)
    calls = [
        partial(triton.backward, x.grad_y, *x.tensors, x.order,
                triton.forward(*x.tensors, x.order, True)[1])
        for x in inputs
    ]  # fmt: skip
    return device_ms(calls, seconds=0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write all measurements to this file")
    parser.add_argument("--quick", action="store_true", help="measure only two image sizes")
    parser.add_argument("--sweep", action="store_true", help="search for the best splits instead")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    if arguments.sweep:
        sweep()
    else:
        compare(arguments.quick, arguments.csv)


if __name__ == "__main__":
    main()
