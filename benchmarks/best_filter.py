"""How much a fixed linear filter can gain on real pairs: an experiment on what limits the networks.

For each set, the 9×9 filter is fitted by least squares to the very pairs that it is tested on, one
for all of them, so no fixed filter can have a smaller squared error. The share of the middle weight
says what it does: above 1 it sharpens, below 1 it smooths.

    python benchmarks/best_filter.py FOLDER --csv results/benchmarks/best_filter.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from cpu_timing import write
from torch import Tensor
from torch.nn import functional as F

from eamamba.config import load_settings
from eamamba.evaluation import score_before_and_after
from eamamba.evaluation.cases import Cases
from eamamba.evaluation.real_pairs import SETS
from eamamba.evaluation.statistics import paired_interval

SIDE = 9
ROOT = Path(__file__).resolve().parents[1]
REAL = ("denoise_real", "deblur_motion", "sr_real_x3")  # taken by cameras, or close to it


def neighbours(image: Tensor) -> Tensor:
    """Return (3 · H · W, 82): the 9×9 neighbours of every value, and 1 for a constant."""
    padded = F.pad(image[:, None], (SIDE // 2,) * 4, mode="reflect")
    columns = F.unfold(padded, SIDE).permute(0, 2, 1).reshape(-1, SIDE**2)
    return torch.cat((columns, torch.ones(len(columns), 1)), 1)


def fitted(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the 82 weights of the best filter from degraded to clean, in double precision."""
    products = torch.zeros(SIDE**2 + 1, SIDE**2 + 1, dtype=torch.float64)
    targets = torch.zeros(SIDE**2 + 1, dtype=torch.float64)
    for degraded, clean in pairs:
        for channel, truth in zip(degraded, clean, strict=True):
            rows = neighbours(channel[None]).double()
            products += rows.T @ rows
            targets += rows.T @ truth.flatten().double()
    return torch.linalg.solve(products, targets)


def real_pairs(folder: Path, task: str) -> tuple[str, list[tuple[Tensor, Tensor]]]:
    """Return the names of a task's sets in the folder, and their degraded and clean images."""
    layout, names = SETS[task]
    present = {name: str((folder / name).resolve()) for name in names if (folder / name).is_dir()}
    settings = load_settings(ROOT / "params.yaml").task(task)
    data = settings.data.model_copy(update={"layout": layout, "benchmarks": present})
    cases = Cases(settings.model_copy(update={"data": data})) if present else []
    return ", ".join(present), [
        (case.degraded[:, : case.clean.shape[1], : case.clean.shape[2]], case.clean)
        for case in cases
    ]


def measure(folder: Path, task: str) -> dict[str, object] | None:
    """Fit and score one set; None if it is not in the folder."""
    names, pairs = real_pairs(folder, task)
    if not pairs:
        return None
    protocol = load_settings(ROOT / "params.yaml").task(task).evaluation.protocol
    weights = fitted(pairs)
    gains = []
    for degraded, clean in pairs:
        filtered = (neighbours(degraded) @ weights.float()).reshape(clean.shape)
        scores = score_before_and_after(protocol, clean, degraded, filtered)
        gains.append(scores["psnr_db"] - scores["psnr_input_db"])
    low, high = paired_interval(gains)
    return {
        "task": task,
        "benchmark": names,
        "images": len(gains),
        "gain_db": sum(gains) / len(gains),
        "gain_low_db": low,
        "gain_high_db": high,
        "middle": float(weights[SIDE**2 // 2] / weights[:-1].sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of `eamamba real-pairs`")
    parser.add_argument("--csv", type=Path, help="CSV file for all figures")
    arguments = parser.parse_args()
    rows = [row for task in REAL if (row := measure(arguments.folder, task)) is not None]
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    if arguments.csv:
        write(table, arguments.csv)


if __name__ == "__main__":
    main()
