"""The selective scan's CPU backend compared with matrix products, a plain loop and chunked PyTorch.

All numbers come from one run, and every time is the shortest of several. On one thread, times are
CPU time, on which other programs have little effect; on several threads, they are wall-clock time,
which means little on a busy machine. "Paper-size network" means the 41 scans of the paper's model
at 256×256. A multiply-add counts as one operation. The share of the copy bandwidth counts every
value as read or written once.

    python benchmarks/scan_cpu.py --csv results/benchmarks/scan_cpu.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from typing import Any

import pandas as pd
import torch
from chunked_pytorch import chunked_scan
from cpu_timing import best_seconds, copy_gbytes_per_second, mm_gmacs_per_second, write
from torch import Tensor

from eamamba.heap import reuse_large_blocks
from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import selective_scan

HEADS, STATES = 8, 16
# image side, channels per head, scans of that size in the paper's model
PAPER_SCANS = [(256, 8, 4), (256, 16, 6), (128, 16, 12), (64, 32, 12), (32, 64, 7)]
PRODUCTS_GMACS = 121.0  # matrix products and convolutions of this model
LOOP_SIDE = 24  # the plain loop is timed on a smaller image


def make_inputs(side: int, channels: int, pattern: str) -> list[Tensor]:
    """Return inputs laid out as in the network: Δ, B and C are views into one buffer."""
    rng = torch.Generator().manual_seed(0)
    length = side * side
    buffer = torch.randn(HEADS, 1, length, channels + 2 * STATES, generator=rng)
    delta, B, C = buffer.permute(1, 2, 0, 3).split((channels, STATES, STATES), -1)
    u = torch.randn(1, length, HEADS, channels, generator=rng)
    A = -torch.arange(1.0, STATES + 1).expand(HEADS, channels, STATES).contiguous()
    order = scan_order(pattern, HEADS, side, side)
    return [u, delta, A, B, C, torch.ones(HEADS, channels), order]


def timed(scan: Callable[..., Tensor], inputs: list[Tensor], repeats: int, training: bool) -> float:
    """Return the seconds of a forward pass, or of a forward and a backward pass."""
    if not training:
        with torch.inference_mode():
            return best_seconds(lambda: scan(*inputs), repeats)
    leaves = [x.detach().requires_grad_() for x in inputs[:6]]
    weights = torch.ones(inputs[0].shape)
    return best_seconds(
        lambda: torch.autograd.grad(scan(*leaves, inputs[6]), leaves, weights), repeats
    )


def cpu(*inputs: Tensor) -> Tensor:
    return selective_scan(*inputs, backend="cpu")


def loop(*inputs: Tensor) -> Tensor:
    return selective_scan(*inputs, backend="reference")


def paper_network(repeats: int) -> list[dict[str, Any]]:
    """Return one row for each shape, pattern and number of threads, and their sums."""
    rows = []
    threads = torch.get_num_threads()
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        floor, copied = PRODUCTS_GMACS / mm_gmacs_per_second(), copy_gbytes_per_second()
        for pattern in ("raster", "diagonal"):
            total = {"forward_s": 0.0, "forward_backward_s": 0.0, "updates": 0, "copy_s": 0.0}
            for side, channels, scans in PAPER_SCANS:
                inputs = make_inputs(side, channels, pattern)
                forward = timed(cpu, inputs, repeats, training=False)
                both = timed(cpu, inputs, repeats, training=True)
                updates = side * side * HEADS * channels * STATES
                u, delta, _, B, C, _, order = inputs
                nbytes = sum(x.numel() * x.itemsize for x in (u, delta, B, C, order, u))
                copy_s = nbytes / 1e9 / copied
                name = f"{side}x{side}, {HEADS} heads of {channels}"
                rows.append(_timing_row(name, pattern, count, forward, both, updates, copy_s))
                total["forward_s"] += scans * forward
                total["forward_backward_s"] += scans * both
                total["updates"] += scans * updates
                total["copy_s"] += scans * copy_s
            row = _timing_row(
                "all scans of the paper-size network", pattern, count, *total.values()
            )
            rows.append(row | {"forward_over_mm_floor": total["forward_s"] / floor})
    torch.set_num_threads(threads)
    return rows


def _timing_row(
    name: str, pattern: str, threads: int, forward: float, both: float, updates: int, copy_s: float
) -> dict[str, Any]:
    return {
        "scan": name,
        "order": pattern,
        "threads": threads,
        "forward_ms": 1e3 * forward,
        "forward_backward_ms": 1e3 * both,
        "forward_backward_over_forward": both / forward,
        "forward_updates_per_ns": updates / forward / 1e9,
        "forward_share_of_copy_bandwidth": copy_s / forward,
    }


def comparisons(repeats: int) -> list[dict[str, Any]]:
    """Return how many times faster than PyTorch the kernels are at 256×256.

    On a busy machine the rows with several threads flatter the kernels: eager PyTorch waits
    for its slowest thread after each of thousands of small operations.
    """
    rows = []
    threads = torch.get_num_threads()
    scale = (256 / LOOP_SIDE) ** 2  # a step of the loop takes as long at any length
    for count, channels in product(sorted({1, threads}), (8, 16)):
        torch.set_num_threads(count)
        inputs = make_inputs(256, channels, "raster")
        short = make_inputs(LOOP_SIDE, channels, "raster")
        row: dict[str, Any] = {"scan": f"256x256, {HEADS} heads of {channels}", "order": "raster"}
        row["threads"] = count
        for name, training in (("forward", False), ("forward_backward", True)):
            ours = timed(cpu, inputs, repeats, training)
            eager = timed(chunked_scan, inputs, 2, training)
            row[f"{name}_ms"] = 1e3 * ours
            row[f"{name}_scaled_loop_over_ours"] = scale * timed(loop, short, 3, training) / ours
            row[f"{name}_chunked_over_ours"] = eager / ours
        rows.append(row)
    torch.set_num_threads(threads)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--csv", help="CSV file for the table")
    options = parser.parse_args()
    reuse_large_blocks()
    table = pd.DataFrame(paper_network(options.repeats) + comparisons(options.repeats))
    print(table.to_string(index=False, float_format="{:.3g}".format))
    whole = table[table["forward_over_mm_floor"].notna()].set_index(["threads", "order"])
    seconds = whole["forward_ms"].unstack()
    print("\ndiagonal over raster:", (seconds["diagonal"] / seconds["raster"]).round(3).to_dict())
    print("1 thread over all:", round(seconds["raster"].iloc[0] / seconds["raster"].iloc[-1], 2))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
