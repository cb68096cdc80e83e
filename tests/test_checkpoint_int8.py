"""Weights in one byte each: small files, and pictures that are as good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pictures import seeded
from safetensors.torch import load_file, save_file

from eamamba.checkpoint import CheckpointError, load_model, read_header, save_model
from eamamba.checkpoint.int8 import SCALE, from_int8, to_int8
from eamamba.evaluation.metrics import psnr
from eamamba.images import read_image
from eamamba.paths import PRETRAINED

ROOT = Path(__file__).parents[1]
LOSS_DB = 0.01


@pytest.mark.parametrize("shape", [(5, 16), (2, 3, 16), (4, 2, 3, 3)])
def test_rows_are_rounded_to_their_own_steps(shape: tuple[int, ...]) -> None:
    weights = torch.randn(shape, generator=seeded()) * torch.logspace(-3, 3, shape[-1])
    stored = to_int8({"a.weight": weights})
    assert stored["a.weight"].dtype == torch.int8
    restored = from_int8(stored)["a.weight"]
    rows = weights.flatten(1) if len(shape) == 4 else weights.reshape(-1, shape[-1])
    error = (restored - weights).reshape(rows.shape).abs().amax(-1)
    steps = rows.abs().amax(-1) / 127
    # half a step, and what rounding the scale to half precision clips at the ends
    assert bool((error <= 0.5 * steps + 127 * steps * 2**-11).all())


def test_rows_of_zeros_stay_zero() -> None:
    assert not from_int8(to_int8({"a.weight": torch.zeros(3, 16)}))["a.weight"].any()


def test_vectors_and_decay_rates_keep_half_precision() -> None:
    state = {"a.bias": torch.randn(9), "A_logs": torch.randn(4, 16), "b.weight": torch.ones(4, 3)}
    stored = to_int8(state)
    assert stored.keys() == state.keys()
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_file_is_half_as_large_as_in_half_precision(tmp_path: Path) -> None:
    name = "compact_denoiser"
    save_model(load_model(name), tmp_path / "a.safetensors", task="denoise_gaussian", int8=True)
    assert (tmp_path / "a.safetensors").stat().st_size < 0.55 * _packaged(name).stat().st_size
    assert read_header(tmp_path / "a.safetensors")["task"] == "denoise_gaussian"


@pytest.mark.parametrize("sigma_255", [15, 50])
def test_denoiser_loses_less_than_a_hundredth_of_a_decibel(tmp_path: Path, sigma_255: int) -> None:
    save_model(load_model("compact_denoiser"), tmp_path / "a.safetensors", int8=True)
    networks = [load_model("compact_denoiser"), load_model(tmp_path / "a.safetensors")]
    losses = []
    for file in sorted((ROOT / "data/photographs/held_out").glob("*.webp"))[::8]:
        clean = read_image(file)[:, :96, :96]
        noisy = clean + torch.randn(clean.shape, generator=seeded()) * sigma_255 / 255
        with torch.inference_mode():
            exact, rounded = (
                psnr(network(noisy[None])[0].clamp(0, 1), clean) for network in networks
            )
        losses.append(float(exact - rounded))
    assert sum(losses) / len(losses) <= LOSS_DB


def test_missing_scales_are_one_line(tmp_path: Path) -> None:
    save_model(load_model("compact_denoiser"), tmp_path / "a.safetensors", int8=True)
    header = read_header(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    lost = next(name for name in tensors if name.endswith(SCALE))
    del tensors[lost]
    save_file(tensors, tmp_path / "b.safetensors", {"eamamba-1": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"8-bit weights lack fitting scales.*int8_scale"):
        load_model(tmp_path / "b.safetensors")


def _packaged(name: str) -> Path:
    return PRETRAINED / f"{name}.safetensors"
