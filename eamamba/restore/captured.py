"""A network on a GPU that replays its kernels instead of launching them one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Call = Callable[[Tensor], Tensor]
# Speed-up from which replaying is worth the memory of a graph.
_WORTHWHILE = 1.1
_MOST_GRAPHS = 4
_REPEATS = 3


class Captured(nn.Module):
    """A network that is captured in a CUDA graph for each image size that occurs again.

    Images and tiles of up to about 256×256 pixels take a GPU less time than launching the
    thousands of kernels of a network; replaying a graph launches one. The first image of a size
    runs as usual, the second is timed both ways, and the graph is kept if it is at least 1.1
    times as fast. Results are those of the network, bit for bit.

    Parameters
    ----------
    network : EAMamba, EAMambaSR or InBfloat16
        In eval mode. On a CPU, and when gradients are computed, it runs unchanged.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.settings = network.settings
        self.size_multiple: int = network.size_multiple
        self.upscale: int = network.upscale
        # image shape and dtype -> how to run it; None: seen once
        self._calls: dict[tuple[torch.Size, torch.dtype], Call | None] = {}

    def forward(self, image: Tensor) -> Tensor:
        """Return the output for (batch, c, H, W)."""
        if image.device.type != "cuda" or torch.is_grad_enabled():
            return self.network(image)
        size = image.shape, image.dtype
        if size not in self._calls:
            self._calls[size] = None
            return self.network(image)
        call = self._calls.pop(size) or self._faster(image)
        self._calls[size] = call  # last: the size used most recently
        return call(image)

    def _faster(self, image: Tensor) -> Call:
        for size in list(self._calls)[: 1 - _MOST_GRAPHS]:
            del self._calls[size]  # with its memory
        try:
            replay = capture(self.network, image)
        except torch.OutOfMemoryError:
            return self.network
        launched, replayed = _seconds(self.network, image), _seconds(replay, image)
        return replay if launched > _WORTHWHILE * replayed else self.network


def capture(network: Call, image: Tensor) -> Call:
    """Return the network as a CUDA graph for images of one shape.

    Parameters
    ----------
    network : callable
        Must have run for this shape before, so that its kernels are compiled.
    image : Tensor
        On a CUDA device.

    Returns
    -------
    callable
        Takes images of that shape on that device; its results are new tensors.
    """
    given = image.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = network(given)

    def replay(image: Tensor) -> Tensor:
        given.copy_(image)
        graph.replay()
        return result.clone()

    return replay


def _seconds(call: Call, image: Tensor) -> float:
    """Return the time of the fastest of a few calls."""
    times = []
    for _ in range(_REPEATS):
        torch.cuda.synchronize(image.device)
        start = time.perf_counter()
        call(image)
        torch.cuda.synchronize(image.device)
        times.append(time.perf_counter() - start)
    return min(times)
