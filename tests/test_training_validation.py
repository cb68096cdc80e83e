"""Validation while training, and the weights kept on the way: they change no training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_training import CURVE, FINISHED, LOG, PARAMS, WEIGHTS, at_iteration, contents, names, tiny

from eamamba.checkpoint import load_model, read_header
from eamamba.config import load_settings
from eamamba.datasets.errors import DatasetError
from eamamba.evaluation import Cases, evaluate
from eamamba.images import read_image, write_image
from eamamba.network import build
from eamamba.training import Trainer, train
from eamamba.training.kept import BEST_FILE
from eamamba.training.validation import (
    PICTURE_FILE,
    VALIDATION_FILE,
    mean_scores,
    picture,
    validate,
)

SMALL = {"held_out_size": 32}
VALIDATED = {BEST_FILE, VALIDATION_FILE, PICTURE_FILE}


def test_validation_changes_no_training(tmp_path: Path) -> None:
    torch.manual_seed(5)
    train(tiny(), tmp_path / "without", progress=False)
    random = torch.get_rng_state()
    watched = tiny(data=SMALL, validate_every=2, validation_images=1, keep_last=2)
    torch.manual_seed(5)
    train(watched, tmp_path / "with", progress=False)
    assert torch.equal(torch.get_rng_state(), random)
    assert names(tmp_path / "without") == FINISHED
    for name in (WEIGHTS, CURVE):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("without", "with"))
        assert one == other, name


def test_scores_are_those_of_the_test(tmp_path: Path) -> None:
    settings = tiny(data=SMALL, validate_every=4)
    weights = train(settings, tmp_path, progress=False)
    table = pd.read_csv(tmp_path / VALIDATION_FILE)
    assert table["iteration"].tolist() == [4, 6]  # the last one, too
    assert weights is not None
    (means,) = evaluate(load_model(weights), settings, tmp_path / "test", progress=False).values()
    for name in ("psnr_input_db", "psnr_db", "ssim_input", "ssim"):
        # as many images at each noise level
        expected = sum(float(one[name] or 0) for one in means.values()) / len(means)
        assert table[name].iloc[-1] == pytest.approx(expected, rel=2e-5), name


def test_resumed_validation_is_that_of_one_run(tmp_path: Path) -> None:
    settings = tiny(data=SMALL, validate_every=1, validation_images=1, keep_last=2)
    train(settings, tmp_path / "whole", progress=False)
    while train(settings, tmp_path / "parts", progress=False, time_limit_s=0) is None:
        pass
    assert names(tmp_path / "whole") == FINISHED | VALIDATED | {
        "model.2.safetensors",
        "model.4.safetensors",
    }
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert "validation after 6: PSNR (dB) " in (tmp_path / "whole" / LOG).read_text()


def test_the_best_weights_are_kept_across_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((2.0, 3.0, 1.0, 2.5))
    monkeypatch.setattr(
        "eamamba.training.watch.mean_scores",
        lambda _: {"psnr_input_db": 2.0, "psnr_db": next(scores), "ssim": 0.0},
    )
    settings = tiny(8, data=SMALL, validate_every=2, validation_images=1)
    with monkeypatch.context() as disturbed:
        at_iteration(disturbed, 5, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(settings, tmp_path, progress=False)
    train(settings, tmp_path, progress=False)
    assert pd.read_csv(tmp_path / VALIDATION_FILE)["psnr_db"].tolist() == [2, 3, 1, 2.5]
    extra = read_header(tmp_path / BEST_FILE)["extra"]
    assert extra["iterations"] == extra["validation"]["iteration"] == 4
    assert extra["validation"]["psnr_db"] == 3
    assert load_model(tmp_path / BEST_FILE).settings == settings.model


def test_the_last_averages_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    averages = {}

    def note(trainer: Trainer) -> None:
        averages[trainer.iteration] = trainer.averaged.output.weight.detach().clone()

    for number in (9, 11):
        at_iteration(monkeypatch, number, note)
    (tmp_path / "model.mine.safetensors").write_bytes(b"of somebody else")
    train(tiny(11, keep_last=2), tmp_path, progress=False)
    kept = {"model.8.safetensors", "model.10.safetensors"}
    assert names(tmp_path) == FINISHED | kept | {"model.mine.safetensors"}
    for iteration, weight in averages.items():
        path = tmp_path / f"model.{iteration}.safetensors"
        assert torch.equal(load_model(path).output.weight, weight)
        assert read_header(path)["extra"]["iterations"] == iteration


def test_a_new_training_forgets_what_the_old_one_kept(tmp_path: Path) -> None:
    train(
        tiny(8, data=SMALL, validate_every=4, validation_images=1, keep_last=3),
        tmp_path,
        progress=False,
    )
    assert names(tmp_path) > FINISHED | VALIDATED
    train(tiny(), tmp_path, progress=False, resume=False)
    assert names(tmp_path) == FINISHED


def test_missing_images_are_noticed_first(tmp_path: Path) -> None:
    nowhere = {"benchmarks": {"mine": str(tmp_path / "nowhere")}}
    with pytest.raises(DatasetError, match="nowhere"):
        train(tiny(data=nowhere, validate_every=2), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    assert train(tiny(data=nowhere), tmp_path / "out", progress=False) is not None


def test_first_images_of_each_benchmark() -> None:
    settings = tiny(data=SMALL | {"benchmarks": {"a": "bundled", "b": "bundled"}})
    every, first = Cases(settings), Cases(settings, first=1)
    levels = len(settings.evaluation.sigmas_255)
    assert len(first) == len(list(first)) == 2 * levels
    assert len(every) == len(list(every)) == len(Cases(settings, first=10**6)) > 2 * levels


@pytest.mark.parametrize("task", ["denoise_gaussian", "sr_light_x2", "deblur_defocus_dual"])
def test_pictures_show_input_result_and_truth(task: str, tmp_path: Path) -> None:
    settings = load_settings(PARAMS, "smoke").task(task)
    found = validate(build(settings.model), settings)
    assert {"psnr_input_db", "psnr_db", "ssim"} <= mean_scores(found).keys()
    shown = picture(found)
    side = shown.shape[2] // 3
    assert shown.shape == (3, side * min(len(found), 6), side * 3)
    write_image(tmp_path / PICTURE_FILE, shown)
    assert read_image(tmp_path / PICTURE_FILE).shape == shown.shape
