"""What a training patch from large photographs costs, decoded anew or cut from the cache of tiles.

Writes pairs of random pictures in the layout and the size of SIDD, 16 megapixels each, and reads
patches as the training does, with different numbers of loader processes. Also times the training
step that they have to keep up with, on this CPU; that of a GPU is taken from network_gpu.csv. All
times on the CPU are CPU time, of all processes together. Files are read from the operating system's
cache, not from the disk.

    python benchmarks/loading_cpu.py --csv results/benchmarks/loading_cpu.csv
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from cpu_timing import best_seconds, write
from torch.utils.data import DataLoader

from eamamba.config import DataSettings, EAMambaSettings, load_settings
from eamamba.datasets.cached import fill
from eamamba.datasets.made_up import made_up_training_set
from eamamba.datasets.training import cached_training_set, training_patches
from eamamba.heap import reuse_large_blocks
from eamamba.network import EAMamba

ROOT = Path(__file__).parents[1]
GPU_RESULTS = ROOT / "results" / "benchmarks" / "network_gpu.csv"
PATCH, BATCH = 128, 64  # of the first stage of the published recipe


def cpu_seconds() -> float:
    """Return the time that this process and its finished children have computed."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds_per_patch(data: DataSettings, workers: int, count: int) -> float:
    """Return the CPU time of reading a patch, including what passes it on."""
    patches = training_patches(data, PATCH, count, seed=0)
    started = cpu_seconds()
    for _ in DataLoader(patches, batch_size=min(count, BATCH), num_workers=workers):
        pass
    return (cpu_seconds() - started) / count


def gpu_step() -> dict[str, Any]:
    """Return the name of the measured GPU and its time for a batch of the same patches."""
    if not GPU_RESULTS.is_file():
        return {}
    table = pd.read_csv(GPU_RESULTS)
    wanted = {"pass": "training step", "backend": "triton", "side": PATCH}
    chosen = table.loc[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    row = chosen.loc[chosen["batch"].idxmax()]
    return {
        "device": row["device"],
        "device_step_s": BATCH / row["batch"] * row["captured_ms"] / 1000,
    }


def step_seconds() -> float:
    """Return the time of a training step of the paper's network per image."""
    reuse_large_blocks()
    torch.manual_seed(0)
    model, image = EAMamba(EAMambaSettings()), torch.rand(1, 3, PATCH, PATCH)
    return best_seconds(lambda: model(image).abs().mean().backward(), 2)


def measure(workers: list[int], decoded: int, cached: int, repeats: int) -> pd.DataFrame:
    """Return one row for each way to read, with the fastest of several repetitions.

    Of ``batch_s``, each of several loader processes is taken to do its share at the same time.
    """
    step = step_seconds()
    rows = []
    with tempfile.TemporaryDirectory(prefix="eamamba-") as name:
        folder = Path(name)
        task = load_settings(ROOT / "params.yaml", "paper").task("denoise_real")
        plain = made_up_training_set(task.data, folder / "pictures").model_copy(
            update={"cache": None}
        )
        tiled = plain.model_copy(update={"cache": str(folder / "tiles")})
        images = cached_training_set(tiled)
        assert images is not None
        started = cpu_seconds()
        fill(images, print)
        filling = (cpu_seconds() - started) / len(images)
        for data, count in ((plain, decoded), (tiled, cached)):
            for number in workers:
                times = [seconds_per_patch(data, number, count) for _ in range(repeats)]
                rows.append(
                    {
                        "patches": "decoded" if data is plain else "from tiles",
                        "workers": number,
                        "patch_s": min(times),
                        "batch_s": BATCH * min(times) / max(number, 1),
                    }
                )
    steps = {"step_s": BATCH * step, "threads": torch.get_num_threads()} | gpu_step()
    return pd.DataFrame(rows).assign(fill_pair_s=filling, patch=PATCH, batch=BATCH, **steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--decoded", type=int, default=8, help="patches read without the cache")
    parser.add_argument("--cached", type=int, default=512, help="patches read from the cache")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--csv", help="CSV file for the table")
    options = parser.parse_args()
    table = measure(options.workers, options.decoded, options.cached, options.repeats)
    print(table.to_string(index=False, float_format="{:.4g}".format))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
