"""The weights in the package: what the settings say, small, described, and without harm."""

from __future__ import annotations

from pathlib import Path

import harm
import numpy as np
import pandas as pd
import pytest
import torch
from harm import flat_pictures, graded_pictures, pictures_with_content

from eamamba import paths
from eamamba.checkpoint import load_model, read_header
from eamamba.config import (
    EAMambaSettings,
    EAMambaSRSettings,
    MambaSettings,
    ModelSettings,
    load_settings,
)
from eamamba.images import Photo
from eamamba.network import EAMamba, build
from eamamba.restore import restore, restore_photo

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))
LARGE = {"denoise_gaussian"}
# Dense haze is a flat picture too: these expect haze, and their cards say so.
HAZE = ("dehaze",)
HARM = pd.read_csv(ROOT / "results/pretrained/harm.csv", keep_default_na=False, na_values=[""])
MEASURE = "run python benchmarks/harm.py --csv results/pretrained/harm.csv, then make cards"


@pytest.mark.parametrize("name", NAMES)
def test_network_is_that_of_the_settings(name: str) -> None:
    profile = "compact_denoiser" if name == "compact_denoiser" else "pretrained"
    header = read_header(paths.PRETRAINED / f"{name}.safetensors")
    settings = load_settings(ROOT / "params.yaml", profile).task(header["task"])
    assert load_model(name).settings == settings.model
    assert name in {header["task"], "compact_denoiser"}


@pytest.mark.parametrize("name", NAMES)
def test_compact_files_are_small_and_their_training_is_recorded(name: str) -> None:
    size = (paths.PRETRAINED / f"{name}.safetensors").stat().st_size
    assert size <= (9e6 if name in LARGE else 2.5e6)
    assert (ROOT / "results" / "pretrained" / name / "training.csv").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_harm_is_measured_and_within_the_limits(name: str) -> None:
    table = HARM[HARM["weights"] == name]
    pictures = flat_pictures() | graded_pictures() | pictures_with_content()
    assert set(pictures) <= set(table["image"]), MEASURE
    exceeded = table[table["exceeds"].notna()]
    if not name.startswith(HAZE):
        assert exceeded.empty, exceeded.to_string()


@pytest.mark.parametrize("name", NAMES)
def test_plain_pictures_stay_as_the_table_says(name: str) -> None:
    model = load_model(name)
    table = HARM[HARM["weights"] == name].set_index("image")
    pictures = flat_pictures() | graded_pictures()
    for image in ("black", "white", "orange", "gradient"):
        row = harm.harm_to(model, image, pictures[image], is_denoiser=False)
        for measure in ("colour_shift_255", "structure_255"):
            if measure in row:
                assert row[measure] == pytest.approx(table.loc[image, measure], abs=0.1), MEASURE
        assert (row["exceeds"] or None) == (table["exceeds"].fillna("")[image] or None)


def test_the_limits_can_be_exceeded() -> None:
    class Mosaic(EAMamba):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            brighter = image + 2 / 255
            brighter[..., ::4, ::4] += 4 / 255
            return brighter

    gray = flat_pictures()["middle gray"]
    network = Mosaic(
        EAMambaSettings(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1)
    ).eval()
    row = harm.harm_to(network, "middle gray", gray, is_denoiser=False)
    assert row["exceeds"] == "colour shift; structure"
    assert row["colour_shift_255"] == pytest.approx(2.25, abs=0.01)
    assert row["structure_255"] == pytest.approx(4, abs=0.01)
    photograph = pictures_with_content()["clean photograph 1"]
    row = harm.harm_to(network, "clean photograph 1", photograph, is_denoiser=True)
    assert row["exceeds"] == "loss on a clean photograph"


def test_a_border_keeps_black_out_of_the_picture() -> None:
    model, orange = load_model("compact_denoiser"), flat_pictures()["orange"]
    bare = (restore(model, orange) - orange).abs().max()
    behind_a_border = (restore_photo(model, Photo(orange)).rgb - orange).abs().max()
    assert behind_a_border < 0.5 / 255 < 2 / 255 < bare


SCAN = MambaSettings(scan_count=4, d_state=4)
UNET = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "mamba_cfg": SCAN}


@pytest.mark.parametrize(
    "settings",
    [
        EAMambaSRSettings(dim=8, num_blocks=(1,), upscale=3, mamba_cfg=SCAN),
        EAMambaSettings(**UNET, inp_channels=6, dual_pixel_task=True),
    ],
)
def test_networks_of_every_kind_can_be_measured(settings: ModelSettings) -> None:
    model = build(settings).eval()
    pictures = flat_pictures() | pictures_with_content()
    for name in ("orange", "screenshot"):
        row = harm.harm_to(model, name, pictures[name][:, :48, :64], is_denoiser=False)
        assert row["image"] == name
        assert all(np.isfinite(value) for value in row.values() if isinstance(value, float))
