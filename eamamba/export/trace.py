"""A network as a program of `torch.export`, for images of any size."""

from __future__ import annotations

import copy

import torch
from torch.export import Dim, ExportedProgram

from eamamba.network import Network, set_backend

LARGEST_SIDE = 2**16


def trace(model: Network) -> ExportedProgram:
    """Return the network as a graph for any batch, height and width.

    The selective scan and the scan orders remain the operators defined by `eamamba`.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        Left unchanged: a copy on the CPU is traced.

    Returns
    -------
    ExportedProgram
        From images (batch, c, H, W) to images, H and W multiples of ``model.size_multiple``.
    """
    network = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    set_backend(network, "auto")  # whichever the machine that runs the graph has
    multiple = model.size_multiple
    sides = [multiple * Dim(name, max=LARGEST_SIDE // multiple) for name in ("rows", "columns")]
    image = torch.zeros(2, model.settings.inp_channels, 8 * multiple, 10 * multiple)
    return torch.export.export(
        network, (image,), dynamic_shapes=({0: Dim("batch"), 2: sides[0], 3: sides[1]},)
    )
