"""The paper-size network on a CUDA device: our scan compared with mamba_ssm and its gathers.

Times forward passes and training steps (L1 loss, backward pass, AdamW) with TF32 products, both
eager (including launches) and captured: forward passes as one CUDA graph, training steps with the
network's two passes as graphs, like `eamamba train`. Peak memory is that allocated by PyTorch,
including weights.

    python benchmarks/network_gpu.py --csv results/benchmarks/network_gpu.csv
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from gpu_timing import device_ms, eager_ms
from torch import nn
from torch.nn import functional as F

from eamamba.config import EAMambaSettings
from eamamba.network import EAMamba, set_backend
from eamamba.selective_scan import Backend, mamba_ssm
from eamamba.training.trainer import Passes

IMAGES = [(1, 128), (1, 256), (1, 512), (1, 1024), (8, 128), (8, 256)]


def measure(model: EAMamba, batch: int, side: int, training: bool) -> dict[str, float]:
    """Time one kind of step; NaN if it does not fit into device memory."""
    image, target = torch.rand(2, batch, 3, side, side, device="cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    network: nn.Module = model

    def forward() -> None:
        with torch.inference_mode():
            model(image)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(network(image), target).backward()
        optimizer.step()

    call = step if training else forward
    row = dict.fromkeys(("ms", "captured_ms", "peak_gb"), float("nan"))
    try:
        call()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        row["ms"] = eager_ms([call], seconds=0.5)
        row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
        if training:
            optimizer.zero_grad()
            network = torch.cuda.make_graphed_callables(Passes(model), (torch.rand_like(image),))
            row["captured_ms"] = eager_ms([step], seconds=0.5)
        else:
            row["captured_ms"] = device_ms([forward], seconds=0.5)
    except torch.OutOfMemoryError:
        pass  # the row keeps its NaN
    optimizer.zero_grad()
    torch.cuda.empty_cache()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write all measurements to this file")
    parser.add_argument("--quick", action="store_true", help="only 256×256 pixels at batch size 1")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    model = EAMamba(EAMambaSettings()).cuda()
    missing = mamba_ssm.available()
    backends: list[Backend] = ["triton"] if missing else ["triton", "mamba_ssm"]
    name = torch.cuda.get_device_name()
    print(f"{name}; mamba_ssm: {missing or 'measured'}")
    rows = []
    images = [(1, 256)] if arguments.quick else IMAGES
    for (batch, side), training, backend in product(images, (False, True), backends):
        set_backend(model.train(training), backend)
        case = {"pass": "training step" if training else "forward", "backend": backend}
        rows.append({"batch": batch, "side": side} | case
                    | measure(model, batch, side, training))  # fmt: skip
    table = pd.DataFrame(rows)
    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        table.assign(device=name).round(4).to_csv(arguments.csv, index=False)
    wide = table.pivot(
        index=["pass", "batch", "side"], columns="backend", values=["ms", "captured_ms", "peak_gb"]
    )
    if not missing:
        wide["times", "faster"] = wide["ms", "mamba_ssm"] / wide["ms", "triton"]
    print(wide.round(2).to_string())


if __name__ == "__main__":
    main()
