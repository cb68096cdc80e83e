"""On a CUDA device: both GPU backends against the float64 reference, at real sizes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor

from eamamba.config import EAMambaSettings, Stage, TrainingSettings, load_settings
from eamamba.network import EAMamba, set_backend
from eamamba.network.scan_order import scan_order
from eamamba.restore import Captured
from eamamba.selective_scan import Backend, mamba_ssm, reference, selective_scan, triton
from eamamba.training import train
from eamamba.training.trainer import Trainer, accelerator_for

pytestmark = pytest.mark.gpu

BACKENDS = [
    pytest.param(
        module,
        id=name,
        marks=pytest.mark.skipif(module.available() is not None, reason=str(module.available())),
    )
    for name, module in (("triton", triton), ("mamba_ssm", mamba_ssm))
]
needs_triton = pytest.mark.skipif(triton.available() is not None, reason=str(triton.available()))
# name: pattern, heads, height, width, batch, D, N, and whether the heads share u
SHAPES: dict[str, tuple[str, int, int, int, int, int, int, bool]] = {
    "paper, level 1": ("diagonal", 8, 64, 64, 1, 8, 16, False),
    "paper, level 2": ("diagonal", 8, 64, 64, 1, 16, 16, False),
    "paper, level 3": ("diagonal", 8, 32, 32, 2, 32, 16, False),
    "paper, level 4": ("diagonal", 8, 32, 32, 2, 64, 16, False),
    "super-resolution": ("diagonal", 8, 40, 56, 1, 8, 10, False),
    "narrow": ("diagonal", 8, 24, 32, 2, 4, 16, False),
    "odd": ("zigzag", 4, 37, 23, 2, 5, 7, False),
    "zorder": ("zorder", 4, 19, 33, 1, 12, 8, False),
    "hilbert": ("hilbert", 8, 33, 17, 1, 24, 16, False),
    "shared input": ("raster", 4, 21, 31, 2, 96, 16, True),
    "one head": ("raster", 1, 9, 11, 1, 200, 3, False),
    "one pixel": ("raster", 2, 1, 1, 1, 8, 16, False),
    "one state": ("raster", 2, 13, 1, 1, 8, 1, False),
}
# float32 sums over thousands of steps; mamba_ssm's fast exponentials and atomics
TOLERANCES = {triton: 2e-5, mamba_ssm: 1e-3}


def inputs(name: str, seed: int = 0) -> tuple[list[Tensor], Tensor, Tensor]:
    """Draw (u, delta, A, B, C, D), order and the gradient of y, laid out as the network does."""
    pattern, K, height, width, batch, D, N, shared = SHAPES[name]
    L = height * width
    rng = torch.Generator("cuda").manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, device="cuda")

    delta, B, C = draw(K, batch, L, D + 2 * N).permute(1, 2, 0, 3).split((D, N, N), -1)
    u = draw(batch, L, 1 if shared else K, D).expand(-1, -1, K, -1)
    A = -torch.arange(1.0, N + 1, device="cuda") * torch.exp(0.1 * draw(K, D, N))
    order = scan_order(pattern, K, height, width, "cuda")
    return [u, delta - 2, A, B, C, draw(K, D)], order, draw(batch, L, K, D)


def poison_free_memory() -> None:
    """Leave NaN in the memory that the next tensors get."""
    poison = [torch.full((2**n,), torch.nan, device="cuda") for n in range(8, 27)]
    del poison


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_agrees_with_the_float64_reference(backend: ModuleType, name: str) -> None:
    tensors, order, grad_y = inputs(name)
    doubles = [x.double() for x in tensors]
    expected = [reference.scan(*doubles, order)]
    expected += reference.backward(grad_y.double(), *doubles, order, torch.empty(0))
    poison_free_memory()
    y, states = backend.forward(*tensors, order, True)
    got = [y, *backend.backward(grad_y, *tensors, order, states)]
    for result, mine, true in zip(("y", *"uΔABCD"), got, expected, strict=True):
        assert mine.shape == true.shape
        error = float((mine - true).norm()) / (float(true.norm()) or 1)
        assert error < TOLERANCES[backend], result


@needs_triton
@pytest.mark.parametrize("name", ["paper, level 1", "odd", "shared input"])
def test_triton_is_deterministic(name: str) -> None:
    tensors, order, grad_y = inputs(name)

    def run() -> list[Tensor]:
        y, states = triton.forward(*tensors, order, True)
        return [y, *triton.backward(grad_y, *tensors, order, states)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


@needs_triton
def test_a_large_image_is_scanned_like_its_halves() -> None:
    K, side, D, N = 2, 512, 64, 16
    L = side * side
    rng = torch.Generator("cuda").manual_seed(0)
    delta, B, C = torch.randn(1, L, K, D + 2 * N, generator=rng, device="cuda").split((D, N, N), -1)
    u = torch.randn(1, L, K, D, generator=rng, device="cuda")
    delta = delta.clone()
    delta[:, L // 2] = 40  # empties the state: the second half does not see the first
    A, skip = -torch.ones(K, D, N, device="cuda"), torch.zeros(K, D, device="cuda")
    order = scan_order("raster", 1, side, side, "cuda").expand(K, L)
    whole = selective_scan(u, delta, A, B, C, skip, order, backend="triton")
    for half in (slice(0, L // 2), slice(L // 2, L)):
        u_half, delta_half, B_half, C_half = (x[:, half] for x in (u, delta, B, C))
        y = selective_scan(
            u_half, delta_half, A, B_half, C_half, skip, order[:, : L // 2], backend="triton"
        )
        torch.testing.assert_close(whole[:, half], y, rtol=1e-4, atol=1e-4)


@needs_triton
def test_more_than_two_to_the_31_outputs() -> None:
    if torch.cuda.mem_get_info()[0] < 12e9:
        pytest.skip("needs 12 GB of free GPU memory")
    batch, side, D, N = 33, 1024, 64, 2
    L = side * side
    delta, B, C = torch.randn(1, L, 1, D + 2 * N, device="cuda").split((D, N, N), -1)
    u = torch.randn(1, L, 1, D, device="cuda")
    A, skip = -torch.ones(1, D, N, device="cuda"), torch.ones(1, D, device="cuda")
    order = scan_order("raster", 1, side, side, "cuda")
    u, delta, B, C = (x.expand(batch, -1, -1, -1) for x in (u, delta, B, C))
    y, _ = triton.forward(u, delta, A, B, C, skip, order, False)
    assert y.numel() > 2**31
    assert torch.equal(y[-1], y[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_network_gives_the_same_as_with_the_reference(backend: ModuleType) -> None:
    torch.manual_seed(0)
    settings = EAMambaSettings(dim=32, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1)
    model = EAMamba(settings).cuda()
    image = torch.rand(2, 3, 40, 24, device="cuda")

    def run(name: Backend) -> tuple[Tensor, Tensor]:
        set_backend(model, name)
        model.zero_grad()
        y = model(image)
        y.square().sum().backward()
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return y.detach(), torch.cat(grads)

    name: Backend = "triton" if backend is triton else "mamba_ssm"
    for mine, true in zip(run(name), run("reference"), strict=True):
        assert float((mine - true).norm() / true.norm()) < 1e-3


@needs_triton
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_captured_training_steps_are_the_eager_ones(
    precision: Literal["float32", "bf16", "fp16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EAMambaSettings(dim=16, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1)
    recipe = TrainingSettings(stages=(Stage(patch=16, batch=2, iterations=9),), precision=precision)
    rng = torch.Generator("cuda").manual_seed(0)
    batches = [torch.rand(2, 2, 3, side, side, generator=rng, device="cuda") for side in (16, 24)]

    def losses() -> list[float]:
        AcceleratorState._reset_state(reset_partial_state=True)  # it keeps the first precision
        torch.manual_seed(0)
        trainer = Trainer(EAMamba(settings), recipe, accelerator_for(recipe, "cuda"))
        return [trainer.step(*batches[number // 3])[0] for number in range(6)]

    captured = losses()
    monkeypatch.setattr(Trainer, "_network_or_graph", lambda self, _: self.network)
    assert captured == pytest.approx(losses(), rel=1e-4)
    assert captured[2] != captured[0]


@needs_triton
def test_training_with_loader_workers_captures_and_learns(tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    smoke = load_settings("params.yaml", "smoke").task("denoise_gaussian")
    data = smoke.data.model_copy(update={"workers": 2})
    weights = train(
        smoke.model_copy(update={"data": data}), tmp_path, device="cuda", progress=False
    )
    assert weights is not None
    assert weights.is_file()


@needs_triton
def test_training_in_fp16_is_validated_and_resumes(tmp_path: Path) -> None:
    smoke = load_settings("params.yaml", "smoke").task("denoise_gaussian")
    changes = {"precision": "fp16", "checkpoint_every": 2, "validate_every": 3, "keep_last": 1}
    recipe = smoke.training.model_copy(update=changes)
    smoke = smoke.model_copy(update={"training": recipe})

    def run(folder: Path, **options: Any) -> Path | None:
        AcceleratorState._reset_state(reset_partial_state=True)
        return train(smoke, folder, device="cuda", progress=False, **options)

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", time_limit_s=0) is None
    parts = run(tmp_path / "parts")
    AcceleratorState._reset_state(reset_partial_state=True)
    assert whole is not None
    assert parts is not None
    for name, weight in load_file(whole).items():
        torch.testing.assert_close(load_file(parts)[name], weight, rtol=1e-3, atol=1e-4)
    tables = [pd.read_csv(path.parent / "validation.csv") for path in (whole, parts)]
    assert tables[0]["iteration"].tolist() == tables[1]["iteration"].tolist() == [3, 6, 8]


@needs_triton
def test_replayed_network_is_the_launched_one() -> None:
    torch.manual_seed(0)
    network = EAMamba(EAMambaSettings(dim=16, num_blocks=(1, 1, 1, 1))).cuda().eval()
    replayed = Captured(network)
    with torch.inference_mode():
        for side in (64, 96, 64, 128, 64, 96):
            for _ in range(3):
                image = torch.rand(1, 3, side, side, device="cuda")
                assert torch.equal(replayed(image), network(image))
    image = torch.rand(1, 3, 64, 64, device="cuda", requires_grad=True)
    replayed(image).sum().backward()  # not captured: gradients pass
    assert image.grad is not None
