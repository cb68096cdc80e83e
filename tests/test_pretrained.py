"""The weights in the package: what the settings say, small, and without harm to plain images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eamamba import paths
from eamamba.checkpoint import load_model, read_header
from eamamba.config import load_settings
from eamamba.evaluation.metrics import psnr
from eamamba.images import read_image
from eamamba.restore import restore

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))
LARGE = {"denoise_gaussian"}
# Haze and rain are always taken to be there; what enlarges sharpens what is sharp already.
LEAVE_PLAIN_IMAGES = [n for n in NAMES if not n.startswith(("dehaze", "derain"))]
DENOISERS = [n for n in NAMES if "denois" in n]


@pytest.mark.parametrize("name", NAMES)
def test_network_is_that_of_the_settings(name: str) -> None:
    profile = "compact_denoiser" if name == "compact_denoiser" else "pretrained"
    header = read_header(paths.PRETRAINED / f"{name}.safetensors")
    settings = load_settings(ROOT / "params.yaml", profile).task(header["task"])
    assert load_model(name).settings == settings.model
    assert name in {header["task"], "compact_denoiser"}


@pytest.mark.parametrize("name", NAMES)
def test_compact_files_are_small_and_the_card_names_all(name: str) -> None:
    size = (paths.PRETRAINED / f"{name}.safetensors").stat().st_size
    assert size <= (9e6 if name in LARGE else 2.5e6)
    card = (paths.PRETRAINED / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in card
    assert (ROOT / "results" / "pretrained" / name / "training.csv").is_file()


@pytest.mark.parametrize("level", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", LEAVE_PLAIN_IMAGES)
def test_flat_images_keep_their_colour(name: str, level: float) -> None:
    flat = torch.full((3, 72, 96), level)
    restored = restore(load_model(name), flat)
    assert (restored.mean((1, 2)) - level).abs().max() < 1 / 255
    assert (restored - level).abs().max() < 8 / 255  # and show no mosaic


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_leave_clean_photographs_alone(name: str) -> None:
    photographs = sorted((ROOT / "data" / "photographs" / "held_out").glob("*.webp"))[:3]
    for path in photographs:
        clean = read_image(path)[:, :160, :160]
        assert float(psnr(restore(load_model(name), clean), clean)) > 37, path.name
