"""Compare simulated degradations with real ones, on the scenes of real pairs.

Every sharp image of a set is cut into squares. Each square is measured as it was really degraded,
and degraded by the simulation with a seed of its own.

    python benchmarks/simulation.py FOLDER --csv results/benchmarks/simulation.csv
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from best_filter import REAL, ROOT, real_pairs
from cpu_timing import write
from skimage.registration import phase_cross_correlation
from torch import Generator, Tensor

from eamamba.config import load_settings
from eamamba.degradations import DEGRADATIONS
from eamamba.evaluation.metrics import psnr

SIDE = 256


def brightness(image: Tensor) -> Tensor:
    """Return the mean of the colours, (H, W)."""
    return image.mean(0)


def redness(image: Tensor) -> Tensor:
    """Return red less brightness, (H, W)."""
    return image[0] - brightness(image)


def correlation(
    part: Callable[[Tensor], Tensor], distance: int, degraded: Tensor, clean: Tensor
) -> float:
    """Return the correlation of noise at two pixels of a row, `distance` apart."""
    noise = part(degraded - clean)
    noise = noise - noise.mean()
    return float((noise[:, distance:] * noise[:, :-distance]).mean() / noise.square().mean())


def detail(low: float, high: float, degraded: Tensor, clean: Tensor) -> float:
    """Return the amplitude of brightness between two frequencies, as a share of the sharp image's.

    In cycles per pixel.
    """
    frequency = torch.fft.fftfreq(SIDE)
    band = torch.hypot(frequency[:, None], frequency)
    band = (band >= low) & (band < high)
    window = torch.hann_window(SIDE, periodic=False)
    amplitudes = [
        torch.fft.fft2(brightness(image - image.mean()) * window[:, None] * window)[band]
        .abs()
        .norm()
        for image in (degraded, clean)
    ]
    return float(amplitudes[0] / amplitudes[1])


def displacement(degraded: Tensor, clean: Tensor) -> float:
    """Return how far a picture is displaced where it correlates best with the sharp one, in px."""
    both = (brightness(image).numpy() for image in (clean, degraded))
    shift, _, _ = phase_cross_correlation(*both, upsample_factor=20, normalization=None)
    return math.hypot(*shift)


QUANTITIES: dict[str, dict[str, Callable[[Tensor, Tensor], float]]] = {
    "denoise_real": {
        "PSNR of the input in dB": psnr,
        "correlation of the noise of neighbours": partial(correlation, brightness, 1),
        "correlation of coloured noise 4 pixels apart": partial(correlation, redness, 4),
    },
    "deblur_motion": {
        "PSNR of the input in dB": psnr,
        "displacement against the sharp image in pixels": displacement,
    },
    "sr_real_x3": {
        "PSNR of the input in dB": psnr,
        "amplitude at 0.05 to 0.1 cycles per pixel": partial(detail, 0.05, 0.1),
        "amplitude at 0.1 to 0.2 cycles per pixel": partial(detail, 0.1, 0.2),
    },
}


def squares(image: Tensor) -> list[Tensor]:
    """Return the squares of a grid that fit in (3, H, W)."""
    rows = image.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE)
    return list(rows.flatten(1, 2).unbind(1))


def measure(folder: Path, task: str) -> list[dict[str, object]]:
    """Return the quantities of real and simulated degradations, 10th, 50th and 90th percentile."""
    names, pairs = real_pairs(folder, task)
    real = [both for pair in pairs for both in zip(*map(squares, pair), strict=True)]
    degrade = DEGRADATIONS[load_settings(ROOT / "params.yaml").task(task).data.degradation]
    simulated = [
        (degrade(clean, Generator().manual_seed(seed)), clean)
        for seed, (_, clean) in enumerate(real)
    ]
    rows = []
    for name, quantity in QUANTITIES[task].items() if real else ():
        row: dict[str, object] = {"task": task, "benchmark": names, "squares": len(real)}
        row["quantity"] = name
        for kind, both in (("real", real), ("simulated", simulated)):
            values = pd.Series([quantity(degraded, clean) for degraded, clean in both])
            for percent in (10, 50, 90):
                row[f"{kind}_{percent}"] = values.quantile(percent / 100)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of `eamamba real-pairs`")
    parser.add_argument("--csv", type=Path, help="CSV file for all figures")
    arguments = parser.parse_args()
    table = pd.DataFrame([row for task in REAL for row in measure(arguments.folder, task)])
    print(table.round(3).to_string(index=False))
    if arguments.csv:
        write(table, arguments.csv)


if __name__ == "__main__":
    main()
