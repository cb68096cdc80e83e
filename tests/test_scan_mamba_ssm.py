"""The gathers around mamba-ssm's kernel, with a stand-in for the kernel itself."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import mamba_ssm, reference


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Scan (batch, channels, steps) from first to last, B and C (batch, heads, N, steps)."""
    share = u.shape[1] // B.shape[1]
    h, y = torch.zeros(*u.shape[:2], A.shape[1], dtype=u.dtype), []
    for t in range(u.shape[2]):
        step = softplus(delta[..., t, None])
        into, out_of = (x[..., t].repeat_interleave(share, 1) for x in (B, C))
        h = torch.exp(step * A) * h + step * u[..., t, None] * into
        y.append((h * out_of).sum(-1))
    return torch.stack(y, -1) + D[:, None] * u


def kernel_forward(*inputs: Tensor | bool | None) -> tuple[Tensor, Tensor]:
    *tensors, z, delta_bias, softplus_inside = inputs
    assert (z, delta_bias, softplus_inside) == (None, None, True)
    assert all(x.stride(-1) == 1 for x in tensors)
    u, A = tensors[0], tensors[2]
    states = torch.full((*u.shape[:2], 1, 2 * A.shape[1]), 7.0, dtype=u.dtype)
    return scan(*tensors), states  # one pair of states for up to 2048 steps


def kernel_backward(*inputs: Tensor | bool | None) -> tuple[Tensor | None, ...]:
    tensors, (z, delta_bias, grad_y, states), rest = inputs[:6], inputs[6:10], inputs[10:]
    assert (z, delta_bias, *rest) == (None, None, None, None, True, False)
    u, A = tensors[0], tensors[2]
    assert states.shape == (*u.shape[:2], 1, 2 * A.shape[1])
    assert (states == 7).all()
    leaves = [x.detach().requires_grad_() for x in tensors]
    return (*torch.autograd.grad(scan(*leaves), leaves, grad_y), None)


@pytest.mark.parametrize("shared", [False, True])
def test_results_come_back_in_raster_order(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimpleNamespace(fwd=kernel_forward, bwd=kernel_backward)
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", kernel)
    batch, height, width, K, D, N = 2, 3, 5, 4, 3, 2
    L = height * width
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    delta, B, C = draw(K, batch, L, D + 2 * N).permute(1, 2, 0, 3).split((D, N, N), -1)
    u = draw(batch, L, 1 if shared else K, D).expand(-1, -1, K, -1)
    tensors = [u, delta, -draw(K, D, N).exp(), B, C, draw(K, D)]
    order, grad_y = scan_order("diagonal", K, height, width), draw(batch, L, K, D)

    y, states = mamba_ssm.forward(*tensors, order, True)
    assert states.numel() == mamba_ssm.state_size(batch, L, K, D, N)
    got = [y, *mamba_ssm.backward(grad_y, *tensors, order, states)]
    expected = [reference.scan(*tensors, order)]
    expected += reference.backward(grad_y, *tensors, order, torch.empty(0))
    for mine, true in zip(got, expected, strict=True):
        assert mine.is_contiguous()
        torch.testing.assert_close(mine, true)
    assert mamba_ssm.forward(*tensors, order, False)[1].numel() == 0
