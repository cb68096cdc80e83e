"""Candidates for the network that most tasks share: what each learns, for the time that it takes.

Each candidate learns to remove Gaussian noise from the photographs of the repository: the same
patches, steps and seed. It is scored on the held-out photographs (RGB PSNR), and its forward pass
is timed on one thread. This is how `networks.compact` of params.yaml was chosen.

    python benchmarks/candidates.py --csv results/benchmarks/candidates.csv
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from cpu_timing import best_seconds, write

from eamamba.checkpoint import load_model
from eamamba.config import Stage, TaskSettings, load_settings, validate
from eamamba.config.model import EAMambaSettings
from eamamba.evaluation import evaluate
from eamamba.profiling import complexity
from eamamba.training import train

ROOT = Path(__file__).resolve().parents[1]
COMMON: dict[str, Any] = {"num_refinement_blocks": 2, "mamba_cfg": {"scan_count": 8, "d_state": 8}}
CANDIDATES: dict[str, dict[str, Any]] = {
    "compact": {"dim": 24, "num_blocks": [1, 1, 1, 1], "ffn_expansion_factor": 0.5},
    "wider mixer": {"dim": 24, "num_blocks": [1, 1, 1, 1], "ffn_expansion_factor": 2},
    "wider": {"dim": 32, "num_blocks": [1, 1, 1, 1], "ffn_expansion_factor": 0.5},
    "deeper": {"dim": 16, "num_blocks": [1, 2, 2, 3], "ffn_expansion_factor": 2},
}
SIDE = 256


def settings_of(candidate: dict[str, Any], iterations: int) -> TaskSettings:
    """Return the recipe that all candidates share, for one of them."""
    task = load_settings(ROOT / "params.yaml", "laptop").tasks["denoise_gaussian"]
    training = task.training.model_copy(
        update={
            "stages": (Stage(patch=64, batch=8, iterations=iterations),),
            "constant_iterations": iterations // 3,
        }
    )
    model = validate(EAMambaSettings, COMMON | candidate, "candidate")
    tested = task.evaluation.model_copy(update={"sigmas_255": (25.0,)})
    return task.model_copy(update={"model": model, "training": training, "evaluation": tested})


def measure(candidate: dict[str, Any], iterations: int, repeats: int) -> dict[str, float]:
    """Train, score and time one candidate."""
    settings = settings_of(candidate, iterations)
    with tempfile.TemporaryDirectory() as folder:
        network = load_model(train(settings, Path(folder)))
        metrics = evaluate(network, settings, Path(folder), progress=False)
    means = next(iter(next(iter(metrics.values())).values()))
    image = torch.rand(1, 3, SIDE, SIDE)
    torch.set_num_threads(1)
    with torch.inference_mode():
        seconds = best_seconds(lambda: network(image), repeats)
    cost = complexity(settings.model, SIDE)
    return {
        "parameters": cost.parameters,
        "gflops_256": cost.gflops,
        "seconds_per_megapixel": seconds * 2**20 / SIDE**2,
        "gain_db": means["gain_db"],
        "gain_low_db": means["gain_low_db"],
        "gain_db_per_second": means["gain_db"] / (seconds * 2**20 / SIDE**2),
    }


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=4, help="timed forward passes")
    parser.add_argument("--csv", help="write the table here")
    options = parser.parse_args()
    rows = [
        {"candidate": name} | measure(candidate, options.iterations, options.repeats)
        for name, candidate in CANDIDATES.items()
    ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
