"""Timing on a CUDA device, shared by the benchmark scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

import torch

Call = Callable[[], object]


def device_ms(calls: Sequence[Call], seconds: float = 0.1) -> float:
    """Return the device time of one call in milliseconds: the median over replays of a graph.

    All calls are captured in one graph, so the gaps between launches are small. Pass several calls
    on different data if the data of one call would stay in the cache.
    """
    for call in calls:  # compiles kernels and fills library caches
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    milliseconds = _median_ms(graph.replay, seconds) / len(calls)
    graph.reset()
    return milliseconds


def eager_ms(calls: Sequence[Call], seconds: float = 0.1) -> float:
    """Return the milliseconds of one call as issued by Python, including launches."""

    def all_calls() -> None:
        for call in calls:
            call()

    return _median_ms(all_calls, seconds) / len(calls)


def _median_ms(function: Call, seconds: float) -> float:
    first = _elapsed_ms([function])[0]
    repeats = max(5, min(100, int(1000 * seconds / max(first, 1e-3))))
    return median(_elapsed_ms([function] * repeats))


def _elapsed_ms(functions: Sequence[Call]) -> list[float]:
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(functions) + 1)]
    marks[0].record()
    for function, mark in zip(functions, marks[1:], strict=True):
        function()
        mark.record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in pairwise(marks)]


def peak_megabytes(call: Call) -> float:
    """Return the memory that a call needs beyond what is already allocated, in 1e6 bytes."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def copy_gigabytes_per_second() -> float:
    """Return the bandwidth of a large device copy, in 1e9 bytes (read + write) per second."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    milliseconds = device_ms([lambda: target.copy_(source)])
    return 2 * source.numel() * source.element_size() / milliseconds / 1e6
