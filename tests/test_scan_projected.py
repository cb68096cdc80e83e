"""The scan that projects on the way, against the separate steps in float64."""

from __future__ import annotations

import pytest
import torch
from test_scan_cpu import make_inputs
from torch import Tensor
from torch.nn.functional import silu
from torch.utils.flop_counter import FlopCounterMode

from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.network import EAMamba
from eamamba.selective_scan import can_project, projected_scan, selective_scan

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs_of(batch: int, length: int, heads: int, channels: int, states: int) -> Inputs:
    """Return float64 inputs of `projected_scan`."""
    (x, delta, A, _, _, D), order = make_inputs(batch, length, heads, channels, states)
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(heads, channels + 2 * states, channels, generator=rng, dtype=torch.float64)
    bias = delta.flatten(0, 1)[0] if batch else torch.zeros_like(D)
    return x, weight * channels**-0.5, bias, A, D, order


def in_steps(
    x: Tensor, weight: Tensor, bias: Tensor, A: Tensor, D: Tensor, order: Tensor
) -> Tensor:
    u, states = silu(x), A.shape[-1]
    projected = torch.einsum("blkd,kpd->blkp", u, weight)
    delta, B, C = projected.split((u.shape[-1], states, states), -1)
    return selective_scan(u, delta + bias, A, B, C, D, order, backend="reference")


def assert_agrees(inputs: Inputs) -> None:
    truth = in_steps(*inputs)
    for kind, tolerance in ((torch.float64, 1e-13), (torch.float32, 3e-6)):
        ours = projected_scan(*(x.to(kind) for x in inputs[:-1]), inputs[-1])
        assert (ours.dtype, ours.shape) == (kind, truth.shape)
        assert (ours - truth).abs().max() <= tolerance * truth.abs().max()


@pytest.mark.parametrize(
    ("channels", "states"), [(1, 16), (3, 4), (8, 16), (12, 10), (16, 50), (24, 20), (40, 16)]
)
def test_agrees_with_the_separate_steps(channels: int, states: int) -> None:
    assert_agrees(inputs_of(2, 67, 2, channels, states))


@pytest.mark.parametrize("length", [1, 7, 64, 65, 200])
def test_any_length(length: int) -> None:
    assert_agrees(inputs_of(1, length, 3, 8, 16))


def test_heads_that_share_their_input() -> None:
    x, *others = inputs_of(1, 40, 4, 8, 16)
    assert_agrees((x[:, :, :1].expand(-1, -1, 4, -1), *others))


def test_no_images() -> None:
    x, *others = inputs_of(1, 10, 2, 8, 16)
    assert projected_scan(x[:0], *others).shape == (0, 10, 2, 8)


def test_threads_do_not_change_the_result() -> None:
    inputs, before = inputs_of(1, 130, 1, 40, 16), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(projected_scan(*inputs))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_gradients_graphs_and_autocast_take_the_separate_steps() -> None:
    x = torch.zeros(1, 4, 1, 2)
    assert not can_project(x, "auto")
    with torch.no_grad():
        assert can_project(x, "auto")
        assert can_project(x, "cpu")
        assert not can_project(x, "reference")
        assert not can_project(x.to("meta"), "auto")
        with torch.autocast("cpu", torch.bfloat16):
            assert not can_project(x, "auto")


def test_the_network_counts_the_same_operations_either_way() -> None:
    settings = EAMambaSettings(
        dim=16,
        num_blocks=(1, 1, 1, 1),
        num_refinement_blocks=1,
        mamba_cfg=MambaSettings(scan_count=8, d_state=4),
    )
    scans, flops = [], []
    for device in ("cpu", "meta"):
        with torch.device(device):
            model, image = EAMamba(settings), torch.zeros(1, 3, 16, 16)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(image)
        flops.append(counter.get_total_flops())
        scans.append(torch.ops.eamamba.projected_scan in counter.get_flop_counts()["Global"])
    assert scans == [True, False]
    assert flops[0] == flops[1]
