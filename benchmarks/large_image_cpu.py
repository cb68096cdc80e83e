"""Restoration of large photographs: memory, time, and the effect of tiles and bfloat16.

Uses the denoising weights in the package on noise with sigma 25. Scores are RGB PSNR.

    python benchmarks/large_image_cpu.py --csv results/benchmarks/large_image_cpu.csv
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from cpu_timing import best_seconds, write
from torch import Tensor

from eamamba.checkpoint import load_model
from eamamba.datasets import bundled_photographs
from eamamba.evaluation import add_protocol_noise
from eamamba.evaluation.metrics import psnr
from eamamba.images import write_image
from eamamba.restore import restore

WIDTH, HEIGHT = 4000, 3000
TILE = 512


def photograph(height: int, width: int) -> Tensor:
    """Return a held-out photograph, extended to the given size by mirroring."""
    image = bundled_photographs("held_out")["coffee"]
    while image.shape[1] < height or image.shape[2] < width:
        axis = 1 if image.shape[1] < height else 2
        image = torch.cat([image, image.flip(axis)], axis)
    return image[:, :height, :width]


def whole_photo() -> dict[str, Any]:
    """Restore a 12-megapixel file with the command line, in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "photo.png"), Path(folder, "restored.png")
        clean = photograph(HEIGHT, WIDTH)
        write_image(source, add_protocol_noise(clean, 8, sigma_255=25).clamp(0, 1))
        command = [sys.executable, "-m", "eamamba", "restore", str(source), "-o", str(target)]
        command += ["--task", "denoise_gaussian", "--tile", str(TILE)]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    what = f"{WIDTH}×{HEIGHT} file, tiles of {TILE}"
    return {"study": "large photo", "what": what, "seconds": seconds, "peak_memory_mib": peak}


def choices(side: int) -> list[dict[str, Any]]:
    """Compare tiles and bfloat16 with the untiled float32 result."""
    model = load_model("denoise_gaussian")
    clean = photograph(side, side)
    noisy = add_protocol_noise(clean, 8, sigma_255=25)
    rows: list[dict[str, Any]] = []
    settings: list[tuple[str, str, dict[str, Any]]] = [("tiles", "whole", {"tile": None})]
    settings += [("tiles", f"tiles of {tile}", {"tile": tile}) for tile in (512, 256, 128)]
    settings += [
        ("precision", "float32", {"tile": None}),
        ("precision", "bfloat16", {"tile": None}),
    ]
    whole: Tensor | None = None
    for study, what, options in settings:
        with torch.autocast("cpu", torch.bfloat16, enabled=what == "bfloat16"):
            restored = restore(model, noisy, **options).float()
            seconds = best_seconds(lambda options=options: restore(model, noisy, **options), 2)
        whole = restored if whole is None else whole
        difference = (restored - whole).abs() * 255
        scores = {"psnr_db": psnr(restored, clean), "psnr_whole_db": psnr(whole, clean)}
        rows.append(
            {"study": study, "what": what, "side": side, "seconds": seconds}
            | scores
            | {"mean_difference_255": difference.mean().item()}
            | {"largest_difference_255": difference.max().item()}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="CSV file for the table")
    parser.add_argument("--side", type=int, default=768, help="image side for the comparisons")
    options = parser.parse_args()
    table = pd.DataFrame([whole_photo(), *choices(options.side)])
    print(table.to_string(index=False))
    if options.csv:
        write(table, options.csv, digits=6)


if __name__ == "__main__":
    main()
