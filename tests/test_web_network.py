"""The network for browsers computes what Python does; run in Node.js, where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import seeded
from torch import Tensor

from eamamba import load_model
from eamamba.checkpoint import save_model
from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.images import Photo
from eamamba.network import Network, build
from eamamba.network.scan_order import SCAN_ORDERS, scan_order
from eamamba.restore import restore_photo

WEB = Path(__file__).parents[1] / "web"
PROGRAM = Path(__file__).parent / "web" / "restore.mjs"
ORDERS = PROGRAM.with_name("orders.mjs")
TILE = PROGRAM.with_name("tile.mjs")
KERNELS = ["kernels.wasm", "kernels_relaxed.wasm"]
NODE = shutil.which("node")
ERROR = 1e-4

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")


def run_node(
    folder: Path, kernels: str, weights: Path, image: Tensor, tile: int
) -> subprocess.CompletedProcess[str]:
    """Restore an image (3, H, W) into ``folder``; ``tile`` 0 is the network alone."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    pixels.astype("<f4").tofile(folder / "input.bin")
    height, width = image.shape[1:]
    words = [PROGRAM, WEB / kernels, weights, folder / "input.bin", height, width, tile]
    command = [str(NODE), *node_options(), *map(str, words), str(folder / "output.bin")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@cache
def node_options() -> list[str]:
    """What Node.js 20 needs for relaxed SIMD; later versions have it switched on."""
    option = "--experimental-wasm-relaxed-simd"
    known = subprocess.run([str(NODE), option, "--eval", "0"], capture_output=True, check=False)
    return [option] if known.returncode == 0 else []


def restored_by_node(
    folder: Path, kernels: str, weights: Path, image: Tensor, scale: int, tile: int = 0
) -> Tensor:
    """Return the image that Node.js restored, (3, H * scale, W * scale)."""
    ended = run_node(folder, kernels, weights, image, tile)
    assert ended.returncode == 0, ended.stderr
    shape = (image.shape[1] * scale, image.shape[2] * scale, 3)
    pixels = np.fromfile(folder / "output.bin", "<f4").reshape(shape)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def random_network(settings: EAMambaSettings | EAMambaSRSettings) -> Network:
    """A network whose every weight counts: none is the zero or one that it starts from."""
    torch.manual_seed(0)
    network = build(settings).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


SMALL: dict[str, EAMambaSettings | EAMambaSRSettings] = {
    # one channel a head, states of no whole vector, a mixer of less than a panel
    "paper": EAMambaSettings(
        dim=8,
        num_blocks=(1, 1, 1, 1),
        num_refinement_blocks=1,
        ffn_expansion_factor=0.5,
        mamba_cfg=MambaSettings(d_state=3),
    ),
    # many states, biases, raster in eight heads
    "raster": EAMambaSettings(
        dim=8,
        num_blocks=(1, 0, 1, 0),
        num_refinement_blocks=0,
        bias=True,
        mamba_cfg=MambaSettings(d_state=21, scan_type="raster"),
    ),
    "few heads": EAMambaSettings(
        dim=8,
        num_blocks=(0, 1, 0, 1),
        num_refinement_blocks=0,
        mamba_cfg=MambaSettings(d_state=8, scan_count=2),
    ),
    **{
        f"x{scale}": EAMambaSRSettings(dim=8, num_blocks=(1, 1), upscale=scale, bias=scale == 3)
        for scale in (2, 3, 4)
    },
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", SMALL)
def test_small_networks(tmp_path: Path, name: str, kernels: str) -> None:
    network = random_network(SMALL[name])
    save_model(network, tmp_path / "weights.safetensors")
    image = torch.rand(3, 24, 40, generator=seeded())
    expected = network(image[None])[0]
    found = restored_by_node(
        tmp_path, kernels, tmp_path / "weights.safetensors", image, network.upscale
    )
    scale = float(expected.abs().max())  # random weights leave [0, 1]
    torch.testing.assert_close(found, expected, atol=ERROR * max(scale, 1), rtol=0)


@pytest.mark.parametrize("weights", ["compact_denoiser", "sr_light_x2"])
def test_weights_of_the_package_in_tiles(tmp_path: Path, weights: str) -> None:
    network = load_model(weights)
    image = torch.rand(3, 50, 97, generator=seeded())
    file = WEB.parent / "eamamba" / "pretrained" / f"{weights}.safetensors"
    found = restored_by_node(tmp_path, KERNELS[1], file, image, network.upscale, tile=48)
    expected = restore_photo(network, Photo(image), tile=48).rgb
    torch.testing.assert_close(found.clamp(0, 1), expected, atol=ERROR, rtol=0)


def test_8_bit_weights(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_model(load_model("compact_denoiser"), file, int8=True)
    image = torch.rand(3, 24, 40, generator=seeded())
    found = restored_by_node(tmp_path, KERNELS[1], file, image, 1)
    expected = load_model(file)(image[None])[0]
    torch.testing.assert_close(found, expected, atol=ERROR, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 130), (64, 33)])
def test_any_size_is_padded_and_blended_as_in_python(
    tmp_path: Path, height: int, width: int
) -> None:
    network = random_network(SMALL["few heads"])
    save_model(network, tmp_path / "weights.safetensors")
    image = torch.rand(3, height, width, generator=seeded())
    found = restored_by_node(
        tmp_path, KERNELS[0], tmp_path / "weights.safetensors", image, 1, tile=32
    )
    expected = restore_photo(network, Photo(image), tile=32).rgb
    torch.testing.assert_close(found.clamp(0, 1), expected, atol=ERROR, rtol=0)


@pytest.mark.parametrize(
    ("heads", "height", "width"), [(8, 1, 1), (8, 16, 16), (4, 7, 20), (8, 33, 5), (1, 64, 64)]
)
def test_scan_orders_of_every_pattern(heads: int, height: int, width: int) -> None:
    command = [str(NODE), str(ORDERS), str(heads), str(height), str(width)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = {
        pattern: scan_order(pattern, heads, height, width).flatten().tolist()
        for pattern in SCAN_ORDERS
    }
    assert json.loads(printed) == expected


REFUSED: dict[str, dict[str, Any]] = {
    "channel_mixer_type cca": {"channel_mixer_type": "cca"},
    "layernorm_type BiasFree": {"layernorm_type": "BiasFree"},
    "scan_merge_method add": {"mamba_cfg": {"scan_merge_method": "add"}},
    "dim modulo 8 4": {"dim": 12, "mamba_cfg": {"scan_count": 4}},
    "dual_pixel_task true": {"dual_pixel_task": True, "inp_channels": 3},
}


@pytest.mark.parametrize("named", REFUSED)
def test_other_networks_are_refused(tmp_path: Path, named: str) -> None:
    small = {"dim": 8, "num_blocks": (0, 0, 0, 0), "num_refinement_blocks": 0}
    network = build(EAMambaSettings.model_validate(small | REFUSED[named]))
    save_model(network, tmp_path / "weights.safetensors")
    image = torch.rand(3, 8, 8, generator=seeded())
    ended = run_node(tmp_path, KERNELS[0], tmp_path / "weights.safetensors", image, 0)
    assert ended.returncode == 1
    assert named in ended.stderr
    assert "use the Python package" in ended.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 100, "not a safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "no network settings"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    ended = run_node(tmp_path, KERNELS[0], file, torch.zeros(3, 8, 8), 0)
    assert ended.returncode == 1
    assert complaint in ended.stderr


@pytest.mark.parametrize(("scale", "tile_bytes"), [(1, 700), (4, 9500)])
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("megapixels", [0.3, 1.5])
def test_tiles_of_all_workers_and_the_result_fit_into_memory(
    megapixels: float, workers: int, scale: int, tile_bytes: int
) -> None:
    photo = {"height": 500, "width": round(megapixels * 2000)}
    model = {"scale": scale, "tileBytes": tile_bytes}
    words = [str(NODE), str(TILE), *map(json.dumps, (photo, model, workers))]
    side = int(subprocess.run(words, capture_output=True, check=True).stdout)
    result = 9 * photo["height"] * photo["width"] * scale**2
    assert result + workers * side**2 * tile_bytes <= 440e6
    assert side % 8 == 0
    assert side >= 32
