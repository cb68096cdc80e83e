"""CPU time and memory as a function of pixels, blocks, batch, heads, threads, precision and layout.

Each case runs in a separate process, so that its peak memory can be measured. Times are the
shortest of several runs (CPU time on one thread), and ratios are computed within one study. "paper"
and "light" are the paper's two networks, "nano" is a small U-Net. The permuting layout is what a
scan without an order needs: pixels are permuted for each head, projected and scanned in that order,
and permuted back.

    python benchmarks/growth_cpu.py --csv results/benchmarks/growth_cpu.csv
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from cpu_timing import best_seconds, write
from torch import Tensor, nn

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.heap import reuse_large_blocks
from eamamba.network import EAMamba, Network, build
from eamamba.network.multi_head_scan import MultiHeadScan
from eamamba.selective_scan import selective_scan

NETWORKS = {
    "paper": EAMambaSettings(),
    "light": EAMambaSRSettings(),
    "nano": EAMambaSettings(
        dim=16, num_blocks=(1, 1, 1, 2), num_refinement_blocks=1, mamba_cfg=MambaSettings(d_state=8)
    ),
}


@dataclass(frozen=True)
class Case:
    """One measurement."""

    study: str
    network: str = "paper"
    side: int = 128
    batch: int = 1
    heads: int = 8
    threads: int = 0  # 0: all
    precision: str = "float32"
    layout: str = "ordered"
    training: bool = False
    recomputed: float = 0.0  # fraction of the blocks that the backward pass recomputes
    level: int = 0  # U-Net level whose first block is measured; 0: the whole network


def cases() -> Iterator[Case]:
    """Yield all measurements, study by study."""
    for network in NETWORKS:
        for side in (64, 128, 256, 512, 1024):
            yield Case("pixels", network, side)
        for side in (64, 128, 256):
            yield Case("pixels", network, side, training=True)
    for level in (1, 2, 3, 4):
        for training in (False, True):
            yield Case("block", level=level, side=256, training=training)
    yield from (Case("batch", batch=batch, side=64) for batch in (1, 2, 4, 8))
    yield from (Case("heads", heads=heads) for heads in (1, 2, 4, 8))
    for threads in range(1, torch.get_num_threads() + 1):
        yield Case("threads", threads=threads, side=256)
    for training in (False, True):
        yield from (
            Case("layout", layout=layout, training=training, side=128 if training else 256)
            for layout in ("ordered", "permuting")
        )
    yield from (Case("precision", precision=kind, side=256) for kind in ("float32", "bfloat16"))
    yield from (
        Case("checkpointing", training=True, side=128, recomputed=share) for share in (0, 0.5, 1)
    )


def measure(case: Case) -> dict[str, float]:
    """Measure one case in this process."""
    reuse_large_blocks()
    torch.manual_seed(0)
    if case.threads:
        torch.set_num_threads(case.threads)
    model, given = _module_and_input(case)
    repeats = 30 if case.level else {64: 20, 128: 10, 256: 5}.get(case.side, 2)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bfloat16"):
            output = model(given)
        if case.training:
            output.float().abs().mean().backward()

    with torch.inference_mode(not case.training):
        seconds = best_seconds(step, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_memory_mib": peak}


def _module_and_input(case: Case) -> tuple[nn.Module, Tensor]:
    """Return the network or block to measure, and an input for it."""
    model = _build_network(case)
    if not case.level:
        return model, torch.rand(case.batch, 3, case.side, case.side)
    assert isinstance(model, EAMamba)
    levels = (model.encoder_level1, model.encoder_level2, model.encoder_level3, model.latent)
    block, scale = levels[case.level - 1][0], 2 ** (case.level - 1)
    shape = (case.batch, case.side // scale, case.side // scale, scale * model.settings.dim)
    return block, torch.rand(shape, requires_grad=case.training)


def _build_network(case: Case) -> Network:
    settings = NETWORKS[case.network]
    scan = settings.mamba_cfg.model_copy(update={"scan_count": case.heads})
    changes: dict[str, Any] = {"mamba_cfg": scan, "checkpoint_percentage": case.recomputed}
    model = build(settings.model_copy(update=changes)).train(case.training)
    if case.layout == "permuting":
        MultiHeadScan._scan = permuting_scan  # type: ignore[method-assign]
    return model


def permuting_scan(self: MultiHeadScan, u: Tensor, order: Tensor) -> Tensor:
    """Scan like `MultiHeadScan._scan`, but permute the pixels for every head."""
    K, _, D = self.x_proj_weight.shape
    N = self.settings.d_state
    visited, heads = order.T.long(), torch.arange(K)
    u = u.expand(-1, -1, K, -1)[:, visited, heads]
    delta, B, C = self._project(u).split((D, N, N), -1)
    A = -torch.exp(self.A_logs).view(K, D, N)
    plain = torch.arange(order.shape[1], dtype=torch.int32).expand(K, -1).contiguous()
    y = selective_scan(u, delta, A, B, C, self.Ds.view(K, D), plain, self.backend)
    return y[:, visited.argsort(0), heads]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="CSV file for the table")
    parser.add_argument("--study", help="run only this study")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.study and options.csv:
        parser.error("--study with --csv would drop the other studies from the file; use only one")
    if options.one:
        print(json.dumps(measure(Case(**json.loads(options.one)))))
        return
    rows = []
    for case in cases():
        if options.study in (None, case.study):
            command = [sys.executable, __file__, "--one", json.dumps(asdict(case))]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(asdict(case) | json.loads(answer.splitlines()[-1]))
            print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
    if options.csv:
        write(pd.DataFrame(rows), options.csv)


if __name__ == "__main__":
    main()
