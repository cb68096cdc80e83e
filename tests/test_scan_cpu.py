"""The CPU kernels of the selective scan against the reference in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from eamamba.selective_scan import cpu, selective_scan

NAMES = ("u", "delta", "A", "B", "C", "D")


def make_inputs(
    batch: int, length: int, heads: int, channels: int, states: int, seed: int = 0
) -> tuple[list[Tensor], Tensor]:
    """Return float64 inputs and random visiting orders."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    image, projection = (batch, length, heads, channels), (batch, length, heads, states)
    inputs = [
        normal(*image),
        2 * normal(*image) - 1,
        -4 * torch.rand(heads, channels, states, generator=rng, dtype=torch.float64) - 0.01,
        normal(*projection),
        normal(*projection),
        normal(heads, channels),
    ]
    order = torch.stack([torch.randperm(length, generator=rng) for _ in range(heads)])
    return inputs, order.int()


def run(inputs: list[Tensor], order: Tensor, backend: str) -> tuple[Tensor, ...]:
    """Return y and the gradients of a weighted sum of y."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = selective_scan(*leaves, order, backend=backend)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return (y.detach(), *torch.autograd.grad((weights * y).sum(), leaves))


def assert_agrees(inputs: list[Tensor], order: Tensor, tolerance: float = 3e-6) -> None:
    expected = run([x.double() for x in inputs], order, "reference")
    for name, ours, truth in zip(("y", *NAMES), run(inputs, order, "cpu"), expected, strict=True):
        error, size = (ours.double() - truth).abs().max(), truth.abs().max()
        assert ours.shape == truth.shape
        assert error <= tolerance * size, f"{name}: error {error:.1e}, largest value {size:.1e}"


# Each layout of the vectors is compiled once, so states are varied with few channel counts.
@pytest.mark.parametrize(
    ("channels", "states"),
    [
        *((channels, 16) for channels in (1, 2, 3, 5, 6, 7, 8, 12, 16, 24, 32, 64)),
        *((8, 10), (16, 10), (24, 20), (16, 1), (16, 64), (2, 50)),
    ],
)
def test_agrees_with_reference(channels: int, states: int) -> None:
    inputs, order = make_inputs(2, 67, 2, channels, states)
    assert_agrees([x.float() for x in inputs], order)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 200])
def test_any_length(length: int) -> None:
    inputs, order = make_inputs(1, length, 3, 5, 16)
    assert_agrees([x.float() for x in inputs], order)


def test_no_images() -> None:
    inputs, order = make_inputs(1, 10, 2, 8, 16)
    batch = [x[:0].float() if x.dim() == 4 else x.float() for x in inputs]
    y, *grads = run(batch, order, "cpu")
    assert y.shape == (0, 10, 2, 8)
    assert not any(grad.count_nonzero() for grad in grads)


def test_one_head_and_many_channels() -> None:
    inputs, order = make_inputs(1, 70, 1, 70, 16)
    assert_agrees([x.float() for x in inputs], order)


def test_views_into_one_buffer() -> None:
    inputs, order = make_inputs(2, 40, 4, 8, 16)
    u, delta, A, B, C, D = (x.float() for x in inputs)
    buffer = torch.cat((delta, B, C), -1).permute(2, 0, 1, 3).contiguous()
    delta, B, C = buffer.permute(1, 2, 0, 3).split((8, 16, 16), -1)
    assert not delta.is_contiguous()
    assert_agrees([u, delta, A, B, C, D], order)


def test_heads_that_share_their_input() -> None:
    inputs, order = make_inputs(2, 40, 4, 8, 16)
    u, *others = (x.float() for x in inputs)
    assert_agrees([u[:, :, :1].expand(-1, -1, 4, -1), *others], order)


def test_strided_channels_and_constant_gradient() -> None:
    inputs, order = make_inputs(1, 40, 2, 8, 16)
    inputs = [x.float() for x in inputs]
    strided = [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in inputs]
    leaves = [x.detach().requires_grad_() for x in strided]
    y = selective_scan(*leaves, order, backend="cpu")
    grads = torch.autograd.grad(y.sum(), leaves)  # the gradient of y has strides of 0
    reference = [x.double().detach().requires_grad_() for x in inputs]
    truth = selective_scan(*reference, order, backend="reference")
    torch.testing.assert_close(y, truth.float(), rtol=1e-5, atol=1e-5)
    for ours, expected in zip(grads, torch.autograd.grad(truth.sum(), reference), strict=True):
        torch.testing.assert_close(ours, expected.float(), rtol=1e-4, atol=1e-4)


def test_float64_gradients_by_differences() -> None:
    inputs, order = make_inputs(1, 6, 2, 2, 3)
    leaves = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(
        lambda *x: selective_scan(*x, order, backend="cpu"), leaves, rtol=1e-6, atol=1e-8
    )
    assert_agrees(inputs, order, 1e-13)


def probe(delta: Tensor, A: float = -1.0) -> Tensor:
    """Scan an impulse: y_t = softplus(delta_0) exp(A (Δ_1 + ... + Δ_t)) per channel."""
    length, channels = delta.shape
    u = torch.zeros(1, length, 1, channels)
    u[:, 0] = 1
    unit = torch.zeros(1, length, 1, 16)
    unit[..., 0] = 1
    rates = torch.full((1, channels, 16), A)
    order = torch.arange(length, dtype=torch.int32)[None]
    skip = torch.zeros(1, channels)
    return selective_scan(u, delta[None, :, None], rates, unit, unit, skip, order, "cpu")[0, :, 0]


def test_softplus_is_accurate_at_any_size() -> None:
    delta = torch.cat((torch.linspace(-87, 87, 4001), torch.tensor([0.0, -80, 60, -1e-6, 1e4])))
    truth = delta.double().exp().log1p().where(delta < 500, delta.double())
    error = (probe(delta[None])[0].double() / truth - 1).abs()
    assert error.max() < 3e-7


def test_decay_is_accurate() -> None:
    delta = torch.stack((torch.zeros(4000), torch.linspace(-20, 80, 4000)))
    y = probe(delta).double()
    exponent = -delta[1].double().exp().log1p()
    # A rounding error of the exponent is a relative error of the decay.
    error = (y[1] / y[0] / exponent.exp() - 1).abs() / (1 - exponent)
    assert error.max() < 3e-7


def test_state_survives_steps_of_no_size() -> None:
    delta = torch.full((4096, 2), -80.0)
    delta[0] = 1
    y = probe(delta, A=-16.0)
    assert torch.equal(y, y[:1].expand_as(y))


def test_extreme_steps_have_finite_gradients() -> None:
    inputs, order = make_inputs(1, 90, 2, 8, 16)
    inputs[1] = torch.tensor([-80.0, 0.0, 60.0], dtype=torch.float64).repeat(480).view_as(inputs[1])
    assert_agrees([x.float() for x in inputs], order)


def test_nan_does_not_vanish() -> None:
    inputs, _ = make_inputs(1, 20, 1, 8, 16)
    inputs[1][0, 7, 0, 3] = torch.nan
    order = torch.arange(20, dtype=torch.int32)[None]
    y = selective_scan(*(x.float() for x in inputs), order, backend="cpu")
    assert y[0, 7:, 0, 3].isnan().all()
    assert y.isnan().sum() == 13


@pytest.mark.parametrize("channels", [8, 64])
def test_same_bits_with_any_number_of_threads(channels: int) -> None:
    inputs, order = make_inputs(2, 150, 2, channels, 16)
    inputs = [x.float() for x in inputs]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run(inputs, order, "cpu"))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_calls_from_several_threads() -> None:
    inputs, order = make_inputs(1, 500, 4, 8, 16)
    inputs = [x.float() for x in inputs]
    expected = run(inputs, order, "cpu")
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: run(inputs, order, "cpu"), range(16)):
            assert all(torch.equal(a, b) for a, b in zip(expected, result, strict=True))


def test_size_of_the_saved_states() -> None:
    inputs, order = make_inputs(2, 130, 3, 24, 20)
    inputs = [x.float() for x in inputs]
    for save_states, size in ((True, cpu.state_size(2, 130, 3, 24, 20)), (False, 0)):
        _, states = cpu.forward(*inputs, order, save_states)
        assert states.shape == (size,)


def run_python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=Path(__file__).parent.parent,
    )


SMALL_SCAN = """
import torch
from eamamba.selective_scan import selective_scan
x, b = torch.ones(1, 5, 2, 1), torch.ones(1, 5, 2, 16)
def scan():
    order = torch.arange(5, dtype=torch.int32).expand(2, 5)
    return selective_scan(x, x, -torch.ones(2, 1, 16), b, b, torch.ones(2, 1), order, 'cpu')
"""


def test_import_compiles_nothing() -> None:
    code = (
        "import sys, eamamba.selective_scan.cpu as cpu; assert cpu.available() is None; "
        "assert 'numba' not in sys.modules"
    )
    process = run_python(code)
    output, _ = process.communicate()
    assert process.returncode == 0, output


def test_processes_that_fill_one_cache(tmp_path: Path) -> None:
    code = SMALL_SCAN + "print(scan().sum().item())"
    processes = [run_python(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0] == outputs[1]
    assert list(tmp_path.rglob("*.nbc"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_scan_in_a_forked_process() -> None:
    code = SMALL_SCAN + (
        "import os, warnings\n"
        "torch.set_num_threads(2)\n"
        "expected = scan()\n"
        "warnings.simplefilter('ignore')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if torch.equal(scan(), expected) else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    process = run_python(code)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
