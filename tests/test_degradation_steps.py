"""Degradations shown step by step: what the book draws is what the network gets."""

from __future__ import annotations

import pytest
import torch
from pictures import seeded, shaded_picture
from torch import Tensor

from eamamba.degradation_steps import STEPS, degradation_steps
from eamamba.degradations import DEGRADATIONS, evaluation_noise


@pytest.fixture
def clean() -> Tensor:
    return shaded_picture()


def test_every_degradation_has_its_steps() -> None:
    assert DEGRADATIONS.keys() - STEPS.keys() == {"gaussian_noise"}
    assert STEPS.keys() <= DEGRADATIONS.keys()


@pytest.mark.parametrize("name", STEPS)
def test_steps_show_what_the_network_gets(name: str, clean: Tensor) -> None:
    for seed in range(3):
        plain, watched = seeded(seed), seeded(seed)
        result = DEGRADATIONS[name](clean, plain)
        steps = degradation_steps(name, clean, watched, (15,))
        assert torch.equal(plain.get_state(), watched.get_state())
        inputs = [title for title in steps if title.startswith("input: ")]
        assert torch.equal(torch.cat([steps[title] for title in inputs]), result)
        if name != "dual_pixel_defocus" and not name.startswith("bicubic"):
            assert inputs == list(steps)[-1:]


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_pictures_to_look_at(name: str, clean: Tensor) -> None:
    steps = degradation_steps(name, clean, seeded(1), ())
    assert len(steps) >= 2
    for title, picture in steps.items():
        assert title.strip(), "a picture without a title"
        assert picture.dim() == 3, title
        assert picture.shape[0] in (1, 3), title
        assert picture.isfinite().all(), title
        assert 0 <= picture.min() < picture.max() <= 1, f"{title}: blank, or beyond black or white"


def test_steps_of_gaussian_noise_are_its_levels(clean: Tensor) -> None:
    rng = seeded()
    state = rng.get_state()
    steps = degradation_steps("gaussian_noise", clean, rng, (15, 50))
    assert list(steps) == ["σ = 15", "σ = 50"]
    noise = evaluation_noise(*clean.shape)
    assert torch.equal(steps["σ = 50"], clean + noise * (50 / 255))
    assert steps["σ = 50"].min() < 0, "clipped"
    assert torch.equal(rng.get_state(), state), "the test protocol has a generator of its own"


def test_steps_explain_the_result(clean: Tensor) -> None:
    _, transmission, hazy = degradation_steps("outdoor_haze", clean * 0, seeded(3), ()).values()
    airlight = hazy.max() / (1 - transmission).max()
    torch.testing.assert_close(hazy, (airlight * (1 - transmission)).expand(3, -1, -1))
    veil, streaks, rainy = degradation_steps("rain", clean, seeded(3), ()).values()
    assert torch.equal((veil + streaks).clamp(0, 1), rainy)
    *_, left, right, difference = degradation_steps(
        "dual_pixel_defocus", clean, seeded(3), ()
    ).values()
    torch.testing.assert_close(
        difference, (4 * (left - right).abs().mean(0, keepdim=True)).clamp(0, 1)
    )
    _, first, last, *_ = degradation_steps("motion_blur", clean, seeded(3), ()).values()
    assert (first - last).abs().mean() > 0.01
