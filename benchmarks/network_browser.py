"""The book's page *Restore your photo here* in Chromium: time, memory, and how long it blocks.

First one and then two workers restore the same photograph, in turns, with the smallest network and
with the one of the paper's size. Then all cores restore one of 12 megapixels. A megapixel is
1024×1024 pixels; tiles overlap, so more is computed than that.

    python benchmarks/network_browser.py --csv results/benchmarks/network_browser.csv

It needs what ``scripts/browser`` installs; without, it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from cpu_timing import write
from large_image_cpu import HEIGHT, WIDTH, photograph

from eamamba.evaluation import add_protocol_noise
from eamamba.images import write_image

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "book" / "_extensions")]

from browser import MISSING, visit, write_page  # noqa: E402
from browser_page import write_browser_page  # noqa: E402

PROGRAM = Path(__file__).with_suffix(".mjs")
NETWORKS = ["compact_denoiser", "denoise_gaussian"]
MEGAPIXEL = 2**20
PATIENCE_S = 3600


def noisy(folder: Path, height: int, width: int) -> Path:
    """Write a photograph with the noise that the networks remove."""
    file = folder / f"{width}x{height}.png"
    write_image(file, add_protocol_noise(photograph(height, width), 8, sigma_255=25).clamp(0, 1))
    return file


def restored(address: str, file: Path, weights: str, workers: int) -> dict[str, Any]:
    """Restore a file on the page, in a new browser; return one row of the table."""
    words = (file, weights, workers)
    found = visit(str(PROGRAM), address, *words, timeout_s=PATIENCE_S)
    width, height = map(int, file.stem.split("x"))
    (tile,) = re.findall(r"tiles of (\d+)", found["said"])
    megapixels = width * height / MEGAPIXEL
    return {
        "photo": f"{width}×{height}",
        "weights": weights,
        "workers": int(*re.findall(r"(\d+) workers?,", found["said"])),
        "tile": int(tile),
        "seconds": found["seconds"],
        "seconds_per_megapixel": found["seconds"] / megapixels,
        "longest_block_ms": found["longest_block_ms"],
        "peak_mb": found["peak_mb"],
    }


def fastest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return min(rows, key=lambda row: row["seconds"])


def measure(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Return one row for each photograph, network and number of workers."""
    address = write_page(ROOT / "book" / "restore_here.md", folder)
    write_browser_page(ROOT, folder / "_static" / "restore")
    rows = []
    small = noisy(folder, options.height, options.width)
    for weights in options.weights:
        runs = [
            [restored(address, small, weights, workers) for workers in (1, 2)]
            for _ in range(options.rounds)
        ]
        one, two = (fastest(list(column)) for column in zip(*runs, strict=True))
        rows += [one, two | {"over_one_worker": one["seconds"] / two["seconds"]}]
    if not options.quick:
        large = noisy(folder, HEIGHT, WIDTH)
        rows += [restored(address, large, weights, 2) for weights in options.weights]
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--height", type=int, default=1024, help="pixels")
    parser.add_argument("--width", type=int, default=2048, help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="leave the 12 megapixels out")
    parser.add_argument("--csv", help="CSV file for the table")
    options = parser.parse_args()
    if MISSING:
        print(f"not measured: needs {', '.join(MISSING)}; scripts/browser installs them")
        return
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), options)
    print(table.to_string(index=False, float_format="%.3g"))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
