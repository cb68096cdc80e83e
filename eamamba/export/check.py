"""Compare an exported file with the network that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from eamamba.checkpoint import load_model
from eamamba.export.files import Format
from eamamba.network import Network

CHECKED = ((1, 64, 64), (2, 136, 96), (1, 200, 72))
"""Batch, height and width of the images to compare, in multiples that both networks accept."""
TOLERANCE = 1e-4
"""Largest difference that rounding may cause, in units of the image's range; for the weights
in the package it is a hundredth of that."""


def largest_difference(
    model: Network, path: str | Path, file_format: Format, shape: tuple[int, int, int]
) -> float:
    """Return the largest absolute difference in the output for random images.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        On a CPU.
    path : path
        The file that `eamamba.export.export` wrote from it.
    file_format : {'onnx', 'pt2', 'safetensors'}
    shape : (int, int, int)
        Batch, height and width.

    Returns
    -------
    float
        In units of the image's range, [0, 1].
    """
    batch, height, width = shape
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, model.settings.inp_channels, height, width, generator=generator)
    with torch.no_grad():
        restored = _RUN[file_format](Path(path), image)
        return float((restored - model(image)).abs().max())


def _run_onnx(path: Path, image: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (restored,) = session.run(None, {"image": image.numpy()})
    return torch.from_numpy(restored)


def _run_pt2(path: Path, image: Tensor) -> Tensor:
    return torch.export.load(path).module()(image)


def _run_weights(path: Path, image: Tensor) -> Tensor:
    restored: Tensor = load_model(path)(image)
    return restored


_RUN: dict[Format, Callable[[Path, Tensor], Tensor]] = {
    "onnx": _run_onnx,
    "pt2": _run_pt2,
    "safetensors": _run_weights,
}
