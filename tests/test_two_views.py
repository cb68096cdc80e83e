"""A dual-pixel network that starts from one for a single view."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import PARAMS, tiny

from eamamba import load_model
from eamamba.config import SettingsError, load_settings
from eamamba.training import train
from eamamba.training.two_views import for_two_views


def test_both_views_are_restored_like_their_mean() -> None:
    one = load_model("deblur_defocus")
    two = for_two_views(one)
    left, right = torch.rand(2, 1, 3, 40, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            two(torch.cat((left, right), 1)), one((left + right) / 2), atol=5e-3, rtol=0
        )


def test_a_training_with_two_views_may_start_from_one(tmp_path: Path) -> None:
    single = train(tiny(), tmp_path / "one", progress=False)
    dual = load_settings(PARAMS, "smoke").task("deblur_defocus_dual")
    recipe = tiny(initial_weights=str(single)).training
    two = train(dual.model_copy(update={"training": recipe}), tmp_path / "two", progress=False)
    half = load_file(single)["patch_embed.proj.weight"] / 2
    moved = load_file(two)["patch_embed.proj.weight"] - torch.cat((half, half), 1)
    assert 0 < float(moved.abs().max()) < 6 * recipe.learning_rate


def test_other_weights_are_refused(tmp_path: Path) -> None:
    dual = load_settings(PARAMS, "smoke").task("deblur_defocus_dual")
    recipe = tiny(initial_weights="deblur_defocus").training
    with pytest.raises(SettingsError, match="deblur_defocus does not fit the model"):
        train(dual.model_copy(update={"training": recipe}), tmp_path, progress=False)
