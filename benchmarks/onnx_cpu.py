"""The weights in the package as ONNX models: size, accuracy, and time against our CPU backend.

Both run on one core in one process, on the same images; the time is CPU time.

    python benchmarks/onnx_cpu.py --csv results/benchmarks/onnx_cpu.csv
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pandas as pd
import torch
from cpu_timing import best_seconds, write

from eamamba import paths
from eamamba.checkpoint import load_model
from eamamba.export import export
from eamamba.export.onnx_graph import store_in_half
from eamamba.network import Network

NAMES = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))


def session(file: Path) -> onnxruntime.InferenceSession:
    """Return the model, to run only on the calling thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def facts(name: str, model: Network, file: Path) -> dict[str, Any]:
    """Return the facts that do not depend on the size of the image."""
    proto = onnx.load(file)
    store_in_half(proto)
    return {
        "weights": name,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "onnx_mb": file.stat().st_size / 1e6,
        "half_mb": proto.ByteSize() / 1e6,
        "onnxruntime": onnxruntime.__version__,
    }


def measure(name: str, sides: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    """Export one network and run it at every size."""
    model = load_model(name).requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        export(model, file)
        known = facts(name, model, file)
        exported = session(file)
    for side in sides:
        shape = (1, model.settings.inp_channels, side, side)
        image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        array = image.numpy()
        restored = torch.from_numpy(exported.run(None, {"image": array})[0])
        with torch.inference_mode():
            difference = float((restored - model(image)).abs().max())
            ours_s = best_seconds(lambda: model(image), repeats)  # noqa: B023
        onnx_s = best_seconds(lambda: exported.run(None, {"image": array}), repeats)  # noqa: B023
        yield known | {
            "side": side,
            "ours_s": ours_s,
            "onnx_s": onnx_s,
            "onnx_over_ours": onnx_s / ours_s,
            "largest_difference": difference,
        }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", help="CSV file for the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.DataFrame(
        row for name in options.weights for row in measure(name, options.sides, options.repeats)
    )
    print(table.to_string(index=False, float_format="%.3g"))
    if options.csv:
        write(table, options.csv)


if __name__ == "__main__":
    main()
