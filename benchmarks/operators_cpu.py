"""Where the paper-size network spends its time on a processor, operator by operator.

Shares of the operators' own time, without what they call: a forward pass at 256×256, a training
step (forward and backward) at 128×128.

python benchmarks/operators_cpu.py --csv results/benchmarks/operators_cpu.csv
"""

from __future__ import annotations

import argparse

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from eamamba.config import EAMambaSettings
from eamamba.memory import reuse_large_blocks
from eamamba.network import EAMamba


def shares(model: EAMamba, side: int, training: bool, repeats: int) -> pd.DataFrame:
    """Return every operator's own share of the time of a forward pass or a training step."""
    image = torch.rand(1, 3, side, side)

    def step() -> None:
        restored = model(image)
        if training:
            restored.abs().mean().backward()

    with torch.inference_mode(not training):
        step()
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            for _ in range(repeats):
                step()
    table = pd.DataFrame(
        {
            "operator": event.key,
            "calls": event.count / repeats,
            "seconds": event.self_cpu_time_total / repeats / 1e6,
        }
        for event in recorded.key_averages()
    )
    table["share"] = table["seconds"] / table["seconds"].sum()
    table.insert(0, "pass", "training step" if training else "forward")
    table.insert(1, "side", side)
    return table.sort_values("seconds", ascending=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="write the table here")
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
        table.to_csv(options.csv, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
