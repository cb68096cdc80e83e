"""Where the paper-size network spends its time on a CPU, operator by operator.

Measures a forward pass at 256×256 and a training step (forward and backward) at 128×128. Each
operator is timed by wall clock as PyTorch dispatches it. (PyTorch's profiler allocates records
between the network's buffers, which then no longer fit into freed memory, so it would mostly
measure page faults.)

    python benchmarks/operators_cpu.py --csv results/benchmarks/operators_cpu.csv
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from typing import Any

import pandas as pd
import torch
from cpu_timing import write
from torch.utils._python_dispatch import TorchDispatchMode

from eamamba.config import EAMambaSettings
from eamamba.heap import reuse_large_blocks
from eamamba.network import EAMamba


class Clock(TorchDispatchMode):
    """Count the calls and sum the seconds of every operator while active."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        started = time.perf_counter()
        result = operator(*args, **(kwargs or {}))
        name = operator.name().split(".")[0]
        self.calls[name] += 1
        self.seconds[name] += time.perf_counter() - started
        return result


def shares(model: EAMamba, side: int, training: bool, repeats: int) -> pd.DataFrame:
    """Return each operator's share of the time of a forward pass or a training step."""
    image = torch.rand(1, 3, side, side)

    def step() -> None:
        restored = model(image)
        if training:
            restored.abs().mean().backward()

    clock = Clock()
    with torch.inference_mode(not training):
        step()
        step()
        started = time.perf_counter()
        with clock:
            for _ in range(repeats):
                step()
        whole = time.perf_counter() - started
    clock.seconds["between operators"] = whole - sum(clock.seconds.values())
    table = pd.DataFrame({"calls": clock.calls, "seconds": clock.seconds}) / repeats
    table["share"] = table["seconds"] / table["seconds"].sum()
    table = table.rename_axis("operator").reset_index().sort_values("seconds", ascending=False)
    table.insert(0, "pass", "training step" if training else "forward")
    table.insert(1, "side", side)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="CSV file for the table")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    reuse_large_blocks()
    torch.manual_seed(0)
    model = EAMamba(EAMambaSettings())
    table = pd.concat(
        [
            shares(model.eval(), 256, False, options.repeats),
            shares(model.train(), 128, True, options.repeats),
        ]
    )
    table = table[table["share"] > 0.002]
    print(table.to_string(index=False, float_format="{:.4f}".format))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
