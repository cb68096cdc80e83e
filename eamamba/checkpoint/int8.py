"""Weights stored as 8-bit integers, with one scale per row of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = ".int8_scale"
"""Suffix of the name of the scales of a tensor of integers."""
_LARGEST = 127
_SHORTEST_ROW = 8  # shorter rows would save nothing, since each needs a scale


def to_int8(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Quantise the matrices and convolutions of a network symmetrically, row by row.

    A row holds the weights of one output: the last axis of a matrix (..., rows, inputs), all axes
    except the first of a convolution (rows, inputs, height, width). Everything else, such as norms,
    biases and the decay rates of the scan, is stored in half precision.

    Parameters
    ----------
    state : dict of Tensor
        The weights of a network; all finite.

    Returns
    -------
    dict of Tensor
        int8 tensors with values from -127 to 127 and the shape of their weights, each with its
        scales, float16, one per row, named with the suffix `SCALE`; other tensors float16.
    """
    stored: dict[str, Tensor] = {}
    for name, weights in state.items():
        rows = _rows(weights)
        if not name.endswith("weight") or weights.ndim < 2 or rows.shape[-1] < _SHORTEST_ROW:
            stored[name] = weights.half()
            continue
        # float16 rounds the scale, so the integers are those of the rounded one
        scales = (rows.float().abs().amax(-1, keepdim=True) / _LARGEST).half()
        smallest = torch.finfo(torch.float16).smallest_normal
        scales = scales.clamp(min=smallest)
        integers = (rows.float() / scales.float()).round().clamp(-_LARGEST, _LARGEST)
        stored[name] = integers.to(torch.int8).view(weights.shape)
        stored[name + SCALE] = scales.flatten()
    return stored


def from_int8(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the float32 weights that `to_int8` stored; other tensors are returned unchanged.

    Raises
    ------
    KeyError
        If the scales of a tensor of integers are missing.
    """
    plain = {name: tensor for name, tensor in state.items() if not name.endswith(SCALE)}
    for name, tensor in plain.items():
        if tensor.dtype == torch.int8:
            rows = _rows(tensor).float() * state[name + SCALE].float()[:, None]
            plain[name] = rows.view(tensor.shape)
    return plain


def _rows(weights: Tensor) -> Tensor:
    """Return (rows, inputs) of a matrix, of a stack of matrices, or of a convolution."""
    return weights.flatten(1) if weights.ndim == 4 else weights.reshape(-1, weights.shape[-1])
