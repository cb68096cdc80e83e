"""Evaluation: the published protocol, what is written, and that it is reproducible."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eamamba.config import EAMambaSettings, MambaSettings, Stage, TaskSettings, TrainingSettings
from eamamba.datasets import DatasetError, benchmark_images, bundled_photographs, centre_crop
from eamamba.evaluation import add_protocol_noise, evaluate, evaluate_sizes, examples
from eamamba.evaluation.metrics import PAPER_CROP, psnr, ssim
from eamamba.images import read_image, write_image
from eamamba.network import EAMamba
from eamamba.restore import restore

COLUMNS = ["benchmark", "image", "condition", "psnr_input_db", "psnr_db", "ssim_input", "ssim"]
# 16 channels or more in every head: one kernel to compile.
TINY = EAMambaSettings(
    dim=16,
    num_blocks=(1, 1, 1, 1),
    num_refinement_blocks=1,
    mamba_cfg=MambaSettings(scan_count=1, d_state=4),
)


class Identity(nn.Module):
    """Returns its input, and remembers what it saw."""

    size_multiple = 8
    upscale = 1

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return image


class Denoiser(Identity):
    """Averages neighbouring pixels."""

    def forward(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)


def task(sigmas_255: tuple[float, ...] = (15, 25, 50), **data: object) -> TaskSettings:
    return TaskSettings.model_validate(
        {
            "task": "denoise_gaussian",
            "title": "Gaussian noise",
            "profile": "smoke",
            "model": TINY.model_dump(),
            "data": {"held_out_size": 60} | data,
            "training": {"stages": [{"patch": 32, "batch": 1, "iterations": 1}]},
            "evaluation": {"sigmas_255": sigmas_255},
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a benchmark of two pictures of odd sizes, in the project's folder."""
    monkeypatch.setenv("EAMAMBA_ROOT", str(tmp_path))
    pictures = tmp_path / "data/Small"
    pictures.mkdir(parents=True)
    image = bundled_photographs("held_out")["coffee"]
    for name, height, width in (("b.png", 37, 50), ("a.png", 32, 48)):
        write_image(pictures / name, image[:, 100 : 100 + height, 100 : 100 + width])
    return pictures


def test_noise_is_that_of_the_published_protocol() -> None:
    clean = centre_crop(bundled_photographs("held_out")["chelsea"], 37)[:, :21]
    noise = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(2454))
    padded = F.pad(clean[None], (0, 3, 0, 3), mode="reflect")[0]
    noisy = add_protocol_noise(clean, 8, sigma_255=25)
    torch.testing.assert_close(noisy, padded + noise * 25 / 255, rtol=0, atol=1e-6)
    assert noisy.min() < 0  # not clipped
    assert torch.equal(add_protocol_noise(clean, 8, sigma_255=0), padded)


def test_the_network_sees_the_padded_noisy_image_once_per_level(folder: Path) -> None:
    model = Identity()
    settings = task(benchmarks={"Small": "data/Small"})
    evaluate(model, settings, folder.parent / "out", progress=False)
    clean = [read_image(folder / "a.png"), read_image(folder / "b.png")]
    expected = [add_protocol_noise(c, 8, sigma_255=s) for c in clean for s in (15, 25, 50)]
    assert [image.shape for image in model.seen] == [(1, *image.shape) for image in expected]
    for seen, noisy in zip(model.seen, expected, strict=True):
        assert torch.equal(seen[0], noisy)


def test_scores_are_those_of_the_metrics_on_clipped_outputs(folder: Path, tmp_path: Path) -> None:
    settings = task((50,), benchmarks={"Small": "data/Small"})
    evaluate(Identity(), settings, tmp_path / "out", progress=False)
    table = pd.read_csv(tmp_path / "out/per_image.csv")
    assert list(table) == COLUMNS
    assert table["image"].tolist() == ["a.png", "b.png"]
    for _, row in table.iterrows():
        clean = read_image(folder / row["image"])
        height, width = clean.shape[-2:]
        noisy = add_protocol_noise(clean, 8, sigma_255=50)[:, :height, :width]
        assert row["psnr_input_db"] == pytest.approx(psnr(noisy, clean), abs=1e-4)
        assert row["psnr_db"] == pytest.approx(psnr(noisy.clamp(0, 1), clean), abs=1e-4)
        expected = ssim(noisy.clamp(0, 1), clean, crop=PAPER_CROP)
        assert row["ssim"] == pytest.approx(expected, abs=1e-5)
        assert row["psnr_db"] > row["psnr_input_db"]  # clipping alone removes some noise


def test_metrics_are_means_over_the_images_of_each_benchmark(folder: Path, tmp_path: Path) -> None:
    benchmarks = {"Small": str(folder), "held-out photographs": "bundled"}
    settings, output = task(benchmarks=benchmarks), tmp_path / "out"
    metrics = evaluate(Denoiser(), settings, output, progress=False)
    assert json.loads((output / "metrics.json").read_text(encoding="utf-8")) == metrics
    assert list(metrics) == list(benchmarks)
    table = pd.read_csv(output / "per_image.csv")
    for (benchmark, condition), rows in table.groupby(["benchmark", "condition"]):
        means = metrics[benchmark][condition]
        assert means["images"] == len(rows)
        for name in COLUMNS[3:]:
            assert means[name] == pytest.approx(rows[name].mean(), rel=1e-5)
        gain = means["psnr_db"] - means["psnr_input_db"]
        assert means["gain_db"] == pytest.approx(gain, abs=2e-4)
        gains = rows["psnr_db"] - rows["psnr_input_db"]
        assert means["gain_sd_db"] == pytest.approx(gains.std(), rel=1e-3)
        assert means["gain_low_db"] <= means["gain_db"] <= means["gain_high_db"]
        assert means["worse"] == (gains < 0).sum()
    assert len(table) == 3 * (2 + len(bundled_photographs("held_out")))


def test_noise_of_known_strength_has_the_psnr_of_its_definition(tmp_path: Path) -> None:
    settings = task((15, 50), held_out_size=128)
    metrics = evaluate(Denoiser(), settings, tmp_path, progress=False)["held-out photographs"]
    for sigma in (15, 50):
        measured = metrics[f"sigma{sigma}"]["psnr_input_db"]
        assert measured == pytest.approx(20 * math.log10(255 / sigma), abs=0.05)
    assert metrics["sigma50"]["gain_db"] > 5
    assert metrics["sigma50"]["ssim"] > metrics["sigma50"]["ssim_input"]


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = EAMamba(TINY).eval()
    settings = task((25,))
    for run in ("first", "second"):
        evaluate(model, settings, tmp_path / run, progress=False)
    for name in ("per_image.csv", "metrics.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_infinite_scores_do_not_break_the_files(tmp_path: Path) -> None:
    metrics = evaluate(Identity(), task((0,)), tmp_path, progress=False)
    assert metrics["held-out photographs"]["sigma0"]["psnr_db"] is None
    assert metrics["held-out photographs"]["sigma0"]["ssim"] == pytest.approx(1)
    table = pd.read_csv(tmp_path / "per_image.csv")
    assert (table["psnr_db"] == math.inf).all()


def test_self_ensemble_is_used_when_asked_for(tmp_path: Path) -> None:
    plain, asked = task((25,)), task((25,))
    asked = asked.model_copy(
        update={"evaluation": asked.evaluation.model_copy(update={"self_ensemble": True})}
    )
    once, often = Identity(), Identity()
    evaluate(once, plain, tmp_path, progress=False)
    evaluate(often, asked, tmp_path, progress=False)
    assert len(often.seen) == 4 * len(once.seen) == 4 * len(bundled_photographs("held_out"))


def test_examples_are_the_images_of_the_table(tmp_path: Path) -> None:
    model, settings = Denoiser(), task((10, 25))
    evaluate(model, settings, tmp_path, progress=False)
    table = pd.read_csv(tmp_path / "per_image.csv").query("condition == 'sigma25'")
    table = table.set_index("image")
    everything = examples(model, settings, "sigma25")
    assert [example.name for example in everything] == table.index.tolist()
    for example in everything:
        assert example.clean.shape == example.degraded.shape == example.restored.shape
        assert example.scores["psnr_db"] == psnr(example.restored, example.clean)
        measured = example.scores["psnr_db"]
        assert measured == pytest.approx(table.loc[example.name, "psnr_db"], abs=1e-4)
    (chosen,) = examples(model, settings, "sigma10", names=["coffee"])
    assert chosen.name == "coffee"
    padded = add_protocol_noise(chosen.clean, 8, sigma_255=10)
    assert torch.equal(chosen.restored, restore(model, padded)[:, :60, :60])


def test_held_out_photographs_are_cropped_only_where_asked() -> None:
    def held_out(size: int | None) -> dict[str, Tensor]:
        (images,) = benchmark_images(task(held_out_size=size).data).values()
        return {image.name: image.clean for image in images}

    cropped, whole = held_out(60), held_out(None)
    for name, photograph in bundled_photographs("held_out").items():
        assert torch.equal(whole[name], photograph)
        assert torch.equal(cropped[name], centre_crop(photograph, 60))
        assert cropped[name].shape == (3, 60, 60)


def test_centre_crop_keeps_the_middle_and_small_images() -> None:
    image = torch.arange(35.0).view(1, 5, 7)
    assert torch.equal(centre_crop(image, 3), image[:, 1:4, 2:5])
    assert torch.equal(centre_crop(image, 6), image[:, :, :6])
    assert torch.equal(centre_crop(image, 9), image)


def test_what_cannot_be_evaluated_is_named(tmp_path: Path) -> None:
    settings = task(benchmarks={"Missing": str(tmp_path / "nowhere")})
    with pytest.raises(DatasetError, match="nowhere"):
        evaluate(Identity(), settings, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("benchmark", "images"), [("CBSD68", 68), ("Kodak24", 24)])
def test_published_benchmarks_are_read_whole(benchmark: str, images: int, tmp_path: Path) -> None:
    folder = os.environ.get("EAMAMBA_BENCHMARKS")
    if not folder or not (Path(folder) / benchmark).is_dir():
        pytest.skip(f"set EAMAMBA_BENCHMARKS to a folder with {benchmark}")
    settings = task((25,), benchmarks={benchmark: str(Path(folder) / benchmark)})
    scores = evaluate(Denoiser(), settings, tmp_path, progress=False)[benchmark]["sigma25"]
    assert scores["images"] == images
    assert scores["psnr_input_db"] == pytest.approx(20 * math.log10(255 / 25), abs=0.01)
    assert scores["gain_db"] > 3


def test_sizes_are_those_of_a_training_patch_and_more(tmp_path: Path) -> None:
    stage = Stage(patch=32, batch=1, iterations=1)
    settings = task((50,))
    settings = settings.model_copy(update={"training": TrainingSettings(stages=(stage,))})
    found = evaluate_sizes(Denoiser(), settings)
    assert list(found) == [32, 64, 128]
    direct = evaluate(Denoiser(), task((50,), held_out_size=32), tmp_path, progress=False)
    assert found[32] == direct["held-out photographs"]["sigma50"]


def test_sizes_differ_for_photographs_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in "ab":
        pixels = torch.rand(3, 150, 140, generator=torch.Generator().manual_seed(ord(name)))
        write_image(tmp_path / "photos" / f"{name}.png", pixels)
    stage = Stage(patch=32, batch=1, iterations=1)
    settings = task((50,), benchmarks={"mine": str(tmp_path / "photos")})
    settings = settings.model_copy(update={"training": TrainingSettings(stages=(stage,))})
    (images,) = benchmark_images(settings.data).values()
    assert {image.clean.shape[-2:] for image in images} == {(60, 60)}
    scores = [means["psnr_db"] for means in evaluate_sizes(Denoiser(), settings).values()]
    assert len(set(scores)) == 3
