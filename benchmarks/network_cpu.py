"""The paper-size network on the CPU, compared with the time of its matrix products.

The floor is the time that the network's matrix products and convolutions alone would take at this
machine's own ``torch.mm`` throughput, measured in the same run.

    python benchmarks/network_cpu.py --csv results/benchmarks/network_cpu.csv
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pandas as pd
import torch
from cpu_timing import best_seconds, mm_gmacs_per_second, write

from eamamba.config import EAMambaSettings
from eamamba.heap import reuse_large_blocks
from eamamba.network import EAMamba
from eamamba.profiling import complexity


def measure(size: int, repeats: int, training: bool) -> dict[str, float]:
    """Time a forward pass (and a training step) at ``size``² pixels in this process."""
    reuse_large_blocks()
    torch.manual_seed(0)
    settings = EAMambaSettings()
    model = EAMamba(settings).eval()
    image = torch.rand(1, 3, size, size)
    gflops = complexity(settings, size).gflops_by_kind
    products = sum(gflops[kind] for kind in gflops if kind not in {"scan", "out_norm", "pooling"})
    rate = mm_gmacs_per_second()
    with torch.inference_mode():
        forward = best_seconds(lambda: model(image), repeats)
    floor = products / max(rate, mm_gmacs_per_second())
    row = {
        "size": size,
        "threads": torch.get_num_threads(),
        "mm_gmacs_per_s": rate,
        "product_gmacs": products,
        "floor_s": floor,
        "forward_s": forward,
        "forward_over_floor": forward / floor,
    }
    if training:
        model.train()
        step = best_seconds(lambda: model(image).abs().mean().backward(), max(1, repeats // 2))
        row["training_step_over_forward"] = step / forward
    return row


def main() -> None:
    """Measure each size in a separate process, so that none reuses the memory of another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument(
        "--no-training", dest="training", action="store_false", help="time only forward passes"
    )
    parser.add_argument("--csv", help="CSV file for the table")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.repeats, options.training)))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--repeats", str(options.repeats)]
        command += [] if options.training else ["--no-training"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(answer.splitlines()[-1]))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
