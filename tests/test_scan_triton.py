"""The Triton scan against the reference, on a GPU or in Triton's interpreter, and its layout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import eamamba
from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import BackendError, reference, selective_scan
from eamamba.selective_scan.triton import Config, Tile, backend

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
runs = pytest.mark.skipif(backend.available() is not None, reason=str(backend.available()))

# name: pattern, heads, height, width, batch, D, N, and whether the heads share u
CASES: dict[str, tuple[str, int, int, int, int, int, int, bool]] = {
    "one pixel": ("raster", 1, 1, 1, 1, 1, 1, False),
    "one row": ("raster", 2, 1, 9, 1, 2, 3, False),
    "shared input": ("raster", 4, 3, 3, 2, 3, 2, True),
    "diagonal": ("diagonal", 8, 3, 4, 1, 1, 3, False),
    "zigzag": ("zigzag", 4, 3, 5, 1, 2, 2, False),
    "zorder": ("zorder", 4, 3, 5, 1, 2, 2, False),
    "hilbert": ("hilbert", 4, 5, 3, 1, 2, 2, False),
    "ten states": ("raster", 1, 2, 5, 1, 2, 10, False),
    "two blocks of channels": ("raster", 2, 2, 5, 1, 5, 2, False),
    "many chunks": ("diagonal", 2, 5, 7, 1, 1, 2, False),
    "strong decay": ("diagonal", 2, 4, 5, 1, 2, 2, False),
}
RESULTS = ("y", "u", "delta", "A", "B", "C", "D")


def inputs(name: str) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Draw (u, delta, A, B, C, D), order and the gradient of y, laid out as the network does."""
    pattern, K, height, width, batch, D, N, shared = CASES[name]
    L = height * width
    rng = torch.Generator().manual_seed(len(name))
    projected = torch.randn(K, batch, L, D + 2 * N, generator=rng).permute(1, 2, 0, 3)
    delta, B, C = projected.split((D, N, N), -1)
    A = -4 * torch.rand(K, D, N, generator=rng)
    if name == "strong decay":  # exp(Δ A) down to 0, softplus in both of its limits
        delta, A = 30 * delta, 30 * A
    u = torch.randn(batch, L, 1 if shared else K, D, generator=rng).expand(-1, -1, K, -1)
    skip, grad_y = torch.randn(K, D, generator=rng), torch.randn(batch, L, K, D, generator=rng)
    tensors = [x.to(DEVICE) for x in (u, delta, A, B, C, skip)]
    order = scan_order(pattern, K, height, width, DEVICE)
    return tensors, order, grad_y.to(DEVICE)


def relative_errors(got: list[torch.Tensor], name: str) -> dict[str, float]:
    """Compare (y, gradients) with the reference in double precision."""
    tensors, order, grad_y = inputs(name)
    doubles = [x.double() for x in tensors]
    expected = [reference.scan(*doubles, order)]
    expected += reference.backward(grad_y.double(), *doubles, order, torch.empty(0))
    return {
        result: float((mine.detach() - true).norm()) / (float(true.norm()) or 1)
        for result, mine, true in zip(RESULTS, got, expected, strict=True)
    }


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small inputs into several chunks, tiles and blocks of channels."""
    for name, size in {"GRAIN": 8, "SHORTEST_CHUNK": 8, "CELLS": 8}.items():
        monkeypatch.setattr(backend, name, size)
    configs = {
        2: Config(Tile(4, 1, 8), Tile(2, 1, 16), kept=4),
        64: Config(Tile(8, 1, 8), Tile(4, 1, 8), kept=4),
    }
    monkeypatch.setattr(backend, "CONFIGS", configs)


@pytest.fixture
def unwritten_is_nan() -> Any:
    """Fill new tensors with NaN, so that what a kernel leaves out shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@runs
@pytest.mark.usefixtures("small_pieces", "unwritten_is_nan")
@pytest.mark.parametrize("name", CASES)
def test_kernels_agree_with_the_reference(name: str) -> None:
    tensors, order, grad_y = inputs(name)
    y, states = backend.forward(*tensors, order, True)
    got = [y, *backend.backward(grad_y, *tensors, order, states)]
    assert relative_errors(got, name) == pytest.approx(dict.fromkeys(RESULTS, 0), abs=2e-6)
    torch.testing.assert_close(backend.forward(*tensors, order, False)[0], y)


@runs
def test_operator_runs_and_differentiates_with_the_shipped_cut() -> None:
    tensors, order, grad_y = inputs("zigzag")
    leaves = [x.clone().requires_grad_() for x in tensors]
    y = selective_scan(*leaves, order, backend="triton")
    got = [y, *torch.autograd.grad(y, leaves, grad_y)]
    errors = relative_errors(got, "zigzag")
    assert errors == pytest.approx(dict.fromkeys(RESULTS, 0), abs=2e-6)


def test_states_kept_are_as_many_as_announced() -> None:
    (u, *_), _, _ = inputs("diagonal")
    assert backend.state_size(*u.shape, 3) == 8 * 1 * 3 * -(-12 // backend.CONFIGS[8].kept)


def test_only_float32_is_taken() -> None:
    tensors, order, _ = inputs("one row")
    with pytest.raises(BackendError, match=r"got torch.float64, expected torch.float32"):
        backend.forward(*(x.double() for x in tensors), order, False)


def compiled(name: str, options: dict[str, int]) -> str:
    """Compile a kernel for a GPU that need not be there; return its PTX."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from eamamba.selective_scan.triton import kernels

    kernel = getattr(kernels, name)
    types = dict.fromkeys(kernel.arg_names, "*fp32")
    types |= {x: "i32" for x in kernels.SIZES + kernels.STRIDES if x in types}
    types |= {"order": "*i32"} if "order" in types else {}
    known = {"D": 8, "N": 16, "BLOCK_D": 8, "BLOCK_N": 16, "UNIT": 4} | options
    constants = {(i,): known[x] for i, x in enumerate(types) if x in known}
    types |= {x: "constexpr" for x in types if x in known}
    aligned = {(i,): [["tt.divisibility", 16]] for i, x in enumerate(types.values()) if x[0] == "*"}
    source = ASTSource(kernel, types, constants, aligned)
    return triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": 1}).asm["ptx"]


COMPILED = {
    "ends": ("chunk_ends", {"T": 4, "REVERSE": False}),
    "reverse ends": ("chunk_ends", {"T": 4, "REVERSE": True}),
    "combine": ("combine_chunks", {"T": 64, "REVERSE": False}),
    "reverse combine": ("combine_chunks", {"T": 64, "REVERSE": True}),
    "forward 4": ("forward_chunks", {"T": 4, "SAVE": 0}),
    "forward 8": ("forward_chunks", {"T": 8, "SAVE": 8}),
    "backward": ("backward_chunks", {"T": 4, "SAVE": 4}),
    "backward from far states": ("backward_chunks", {"T": 4, "SAVE": 16}),
}


def test_kernels_compile_and_keep_a_tiles_steps_in_a_thread(tmp_path: Path) -> None:
    environment = os.environ | {
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(eamamba.__file__).parents[1]),
    }
    run = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    ptx = json.loads(run.stdout)
    assert ptx.keys() == COMPILED.keys()
    # 8 channels × 16 states over 32 threads: 4 threads share a channel, and only talk to
    # add up over its states, in log2(4) exchanges a step (and a few to change layouts).
    assert ptx["forward 4"].count("shfl.sync") <= 3 * 4
    assert ptx["forward 8"].count("shfl.sync") <= 3 * 8
    assert ptx["forward 4"].count("ld.global.v4") >= 2 * 4  # B and C, four states at once
    # 8 threads share a state: log2(8) exchanges for each of 4 states, 4 steps, B and C;
    # and two sums over states.
    assert ptx["backward"].count("shfl.sync") < 2 * 3 * 4 * 4 + 2 * 2 * 4 + 4


if __name__ == "__main__":
    print(json.dumps({name: compiled(*kernel) for name, kernel in COMPILED.items()}))
