"""Scores of the weights in the package on real pairs, where a folder has them.

The networks learn from simulated degradations; this says whether they help real photographs.
Folders are looked for in EAMAMBA_BENCHMARKS, and those that are not there are left out. Scores
follow each task's protocol.

    EAMAMBA_BENCHMARKS=... python benchmarks/real_pairs.py --csv results/pretrained/real_pairs.csv
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

from eamamba import paths
from eamamba.checkpoint import load_model
from eamamba.config import LayoutName, load_settings
from eamamba.evaluation import evaluate
from eamamba.files import write_atomically

# task, set, its folder and how that is laid out
SETS: list[tuple[str, str, str, LayoutName]] = [
    ("denoise_real", "CC15", "CC15", "pairs"),
    ("derain", "Rain100H, 20 of its images", "Rain100H", "pairs"),
    ("dehaze_indoor", "SOTS-indoor, 16 of its images", "SOTS-indoor", "reside"),
    ("deblur_motion", "GoPro, 2 frames", "GoPro_sample", "pairs"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("EAMAMBA_BENCHMARKS", "data"))
    settings = load_settings(paths.project_root() / "params.yaml", "pretrained")
    rows = []
    for task, name, place, layout in SETS:
        if not (folder / place).is_dir():
            print(f"{name}: no folder {folder / place}, left out")
            continue
        chosen = settings.task(task)
        tested = {"layout": layout, "benchmarks": {name: str((folder / place).resolve())}}
        data = chosen.data.model_copy(update=tested)
        with tempfile.TemporaryDirectory() as scratch:
            metrics = evaluate(
                load_model(task), chosen.model_copy(update={"data": data}), Path(scratch)
            )
            images = pd.read_csv(Path(scratch) / "per_image.csv")
        worse = int((images["psnr_db"] < images["psnr_input_db"]).sum())
        means = metrics[name]["all"]
        rows.append({"task": task, "set": name} | means | {"worse": worse})
        print(f"{task}, {name}: {means['psnr_input_db']:.2f} -> {means['psnr_db']:.2f} dB")
    if rows and arguments.csv:
        text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
        write_atomically(arguments.csv, text.encode())


if __name__ == "__main__":
    main()
