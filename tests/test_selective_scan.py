"""The selective scan as one operator: its meaning, gradients, checks and place in torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from eamamba.selective_scan import BackendError, selective_scan

BATCH, LENGTH, HEADS, CHANNELS, STATES = 2, 11, 2, 3, 4
NAMES = ("u", "delta", "A", "B", "C", "D")


def inputs(dtype: torch.dtype = torch.float64, **changes: Tensor) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(3)
    made = {
        "u": torch.randn(BATCH, LENGTH, HEADS, CHANNELS, generator=rng),
        "delta": torch.randn(BATCH, LENGTH, HEADS, CHANNELS, generator=rng),
        "A": -torch.rand(HEADS, CHANNELS, STATES, generator=rng) - 0.1,
        "B": torch.randn(BATCH, LENGTH, HEADS, STATES, generator=rng),
        "C": torch.randn(BATCH, LENGTH, HEADS, STATES, generator=rng),
        "D": torch.randn(HEADS, CHANNELS, generator=rng),
    }
    order = torch.stack([torch.randperm(LENGTH, generator=rng) for _ in range(HEADS)])
    return {k: v.to(dtype) for k, v in made.items()} | {"order": order.int()} | changes


def test_reference_is_the_recurrence_written_out() -> None:
    x = inputs()
    y = selective_scan(**x, backend="reference")
    b, k, d = 1, 1, 2
    h = torch.zeros(STATES, dtype=torch.float64)
    for p in x["order"][k].tolist():
        step = torch.nn.functional.softplus(x["delta"][b, p, k, d])
        u = x["u"][b, p, k, d]
        h = torch.exp(step * x["A"][k, d]) * h + step * u * x["B"][b, p, k]
        expected = (x["C"][b, p, k] * h).sum() + x["D"][k, d] * u
        torch.testing.assert_close(y[b, p, k, d], expected)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients_equal_finite_differences(backend: str) -> None:
    x = inputs()
    tensors = [x[name].requires_grad_() for name in NAMES]
    assert torch.autograd.gradcheck(
        lambda *t: selective_scan(*t, x["order"], backend=backend),  # type: ignore[arg-type]
        tensors,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operator_keeps_the_rules_of_torch(dtype: torch.dtype) -> None:
    x = inputs(dtype)
    tensors = [x[name].requires_grad_() for name in NAMES]
    arguments = (*tensors, x["order"], "reference", True)
    torch.library.opcheck(torch.ops.eamamba.selective_scan.default, arguments)


def test_shared_input_gets_the_sum_of_its_heads_gradients() -> None:
    x = inputs()
    shared = x["u"][:, :, :1].clone().requires_grad_()
    copied = shared.detach().repeat(1, 1, HEADS, 1).requires_grad_()
    for u in (shared, copied):
        selective_scan(
            **inputs(u=u.expand(-1, -1, HEADS, -1)), backend="cpu"
        ).square().sum().backward()
    assert shared.grad is not None
    assert copied.grad is not None
    torch.testing.assert_close(shared.grad, copied.grad.sum(2, keepdim=True))


def test_causality_follows_the_order() -> None:
    x = inputs()
    order = x["order"]
    changed = x["u"].clone()
    late = order[:, 6].long()
    changed[:, late, torch.arange(HEADS)] += 1
    before, after = (selective_scan(**inputs(u=u), backend="reference") for u in (x["u"], changed))
    for k in range(HEADS):
        same = (before[:, :, k] == after[:, :, k]).all(-1).all(0)
        assert same[order[k, :6].long()].all()
        assert not same[order[k, 6].long()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delta": torch.zeros(1, 2, 3, 4)}, "delta has shape"),
        ({"B": torch.zeros(BATCH, LENGTH, HEADS, 5)}, "B has shape"),
        ({"D": torch.zeros(HEADS, CHANNELS, dtype=torch.float32)}, "D is torch.float32"),
        ({"order": torch.zeros(HEADS, LENGTH, dtype=torch.int64)}, "order is torch.int64"),
        ({"u": torch.zeros(3)}, "expected u"),
    ],
)
def test_wrong_inputs_are_named(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selective_scan(**inputs(**change))


def test_unknown_and_missing_backends_are_named() -> None:
    with pytest.raises(BackendError, match="choose auto"):
        selective_scan(**inputs(), backend="gpu")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match=r"mamba_ssm.*not available"):
            selective_scan(**inputs(), backend="mamba_ssm")


def test_autocast_leaves_the_recurrence_in_float32() -> None:
    x = inputs(torch.float32)
    exact = selective_scan(**x)
    with torch.autocast("cpu", torch.bfloat16):
        y = selective_scan(**x)
    assert y.dtype == torch.float32
    assert torch.equal(y, exact)


def test_flops_are_counted_as_in_the_paper() -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        selective_scan(**inputs(torch.float32))
    multiply_adds = counter.get_total_flops() / 2
    elements = BATCH * LENGTH * HEADS * CHANNELS
    assert multiply_adds == 9 * elements * STATES + elements


def test_compiles_into_one_graph() -> None:
    x = inputs(torch.float32)
    compiled = torch.compile(selective_scan, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(**x), selective_scan(**x))


def test_loading_a_network_compiles_nothing() -> None:
    code = (
        "import sys, eamamba; eamamba.load_model('denoise_gaussian'); "
        "compilers = {'numba', 'eamamba.selective_scan.triton', 'torch._dynamo'}; "
        "sys.exit(not compilers.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
