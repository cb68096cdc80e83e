"""The readers and protocols on real benchmark images, where EAMAMBA_BENCHMARKS points to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from published_tasks import Enlarge, paper

from eamamba.config import TaskSettings
from eamamba.datasets import check
from eamamba.evaluation import evaluate
from eamamba.images import read_image, write_image


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of published benchmarks, where there is one."""
    folder = os.environ.get("EAMAMBA_BENCHMARKS")
    if folder is None:
        pytest.skip("set EAMAMBA_BENCHMARKS to a folder with Set5, SOTS-indoor, Rain100H …")
    monkeypatch.setenv("EAMAMBA_DATA", folder)
    return Path(folder)


def with_benchmarks(
    settings: TaskSettings, benchmarks: dict[str, str], layout: str = ""
) -> TaskSettings:
    changes = {"benchmarks": benchmarks, "layout": layout or settings.data.layout}
    return settings.model_copy(update={"data": settings.data.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("scale", "psnr_db", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)]
)
def test_bicubic_baseline_of_set5_is_the_published_one(
    benchmarks: Path, tmp_path: Path, scale: int, psnr_db: float, ssim: float
) -> None:
    if not (benchmarks / "Set5").is_dir():
        pytest.skip("EAMAMBA_BENCHMARKS holds no Set5")
    settings = with_benchmarks(paper(f"sr_light_x{scale}"), {"Set5": "data/Set5"})
    means = evaluate(Enlarge(scale), settings, tmp_path, progress=False)["Set5"]["all"]
    assert means["images"] == 5
    assert means["psnr_input_db"] == pytest.approx(psnr_db, abs=0.03)
    assert means["ssim_input"] == pytest.approx(ssim, abs=0.004)


@pytest.mark.parametrize(
    ("name", "benchmark", "layout", "images"),
    [
        ("dehaze_indoor", "SOTS-indoor", "reside", 16),
        ("derain", "Rain100H", "pairs", 20),
        ("deblur_motion", "GoPro_sample", "pairs", 2),
        ("denoise_real", "CC15", "pairs", 15),
        ("sr_real_x3", "City100_iPhoneX", "city100", 13),
    ],
)
def test_published_pairs_are_measured(
    name: str, benchmark: str, layout: str, images: int, benchmarks: Path, tmp_path: Path
) -> None:
    if not (benchmarks / benchmark).is_dir():
        pytest.skip(f"EAMAMBA_BENCHMARKS holds no {benchmark}")
    settings = with_benchmarks(paper(name), {benchmark: f"data/{benchmark}"}, layout)
    means = evaluate(Enlarge(), settings, tmp_path, progress=False)[benchmark]["all"]
    assert means["images"] == images
    assert means["gain_db"] == pytest.approx(0, abs=0.02)
    assert 10 < (means["psnr_input_db"] or 0) < 45


@pytest.mark.parametrize(
    ("scale", "psnr_db", "ssim"), [(2, 30.24, 0.8688), (3, 27.55, 0.7742), (4, 26.00, 0.7027)]
)
def test_bicubic_baseline_of_set14_is_the_published_one(
    benchmarks: Path, tmp_path: Path, scale: int, psnr_db: float, ssim: float
) -> None:
    if not (benchmarks / "Set14").is_dir():
        pytest.skip("EAMAMBA_BENCHMARKS holds no Set14")
    settings = with_benchmarks(paper(f"sr_light_x{scale}"), {"Set14": "data/Set14"})
    assert not check(settings.data).set_index("set").loc["Set14", "problems"]
    means = evaluate(Enlarge(scale), settings, tmp_path, progress=False)["Set14"]["all"]
    assert means["images"] == 14
    assert means["psnr_input_db"] == pytest.approx(psnr_db, abs=0.15)
    assert means["ssim_input"] == pytest.approx(ssim, abs=0.006)


def test_sots_indoor_scores_the_same_with_its_original_border(
    benchmarks: Path, tmp_path: Path
) -> None:
    source = benchmarks / "SOTS-indoor"
    if not source.is_dir():
        pytest.skip("EAMAMBA_BENCHMARKS holds no SOTS-indoor")
    (tmp_path / "gt").mkdir()
    (tmp_path / "hazy").symlink_to(source / "hazy")
    for file in sorted((source / "gt").glob("*.png")):
        image = torch.nn.functional.pad(read_image(file), (10, 10, 10, 10))
        write_image(tmp_path / "gt" / file.name, image)
    scores = [
        evaluate(
            Enlarge(),
            with_benchmarks(paper("dehaze_indoor"), {"SOTS": str(folder)}),
            tmp_path,
            progress=False,
        )
        for folder in (source, tmp_path)
    ]
    assert scores[0] == scores[1]
