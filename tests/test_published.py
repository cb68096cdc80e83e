"""The published data sets: tiny copies of their layouts, and real ones where they are at hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from published_tasks import Enlarge, paper
from published_trees import (
    RAIN,
    TREES,
    pixels,
    write,
    write_dpdd,
    write_folders,
    write_photographs,
    write_sidd,
)

from eamamba.config import DataSettings
from eamamba.datasets import (
    DatasetError,
    benchmark_images,
    bicubic_pairs,
    check,
    manifest,
    sidd_blocks,
    training_patches,
)
from eamamba.degradations import bicubic_downsample
from eamamba.evaluation import evaluate
from eamamba.images import read_image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder for data sets, away from the project."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("EAMAMBA_DATA", str(folder))
    return folder


@pytest.mark.parametrize("name", TREES)
def test_every_task_of_the_paper_reads_its_published_sets(
    name: str, data: Path, tmp_path: Path
) -> None:
    settings = paper(name)
    TREES[name](data)
    sets = check(settings.data)
    assert list(sets["set"]) == [*settings.data.training_set, *settings.data.benchmarks]
    assert not sets["problems"].map(bool).any(), sets["problems"].tolist()
    assert (sets["found"] > 0).all()
    assert (sets["expected"] > sets["found"]).all()
    assert sets["place"].str.startswith(str(data)).all()

    degraded, clean = training_patches(settings.data, 24, 4, seed=0)[3]
    side, channels = 24 // settings.scale, settings.model.inp_channels
    assert degraded.shape == (channels, side, side)
    assert clean.shape == (3, 24, 24)
    assert len(manifest(settings.data)) == sets["found"].sum()

    metrics = evaluate(Enlarge(settings.scale), settings, tmp_path / "out", progress=False)
    assert list(metrics) == list(settings.data.benchmarks)
    for conditions in metrics.values():
        for means in conditions.values():
            if name == "denoise_gaussian":
                continue
            # nothing is restored, so nothing is gained (but what rounding and clipping do)
            assert means["gain_db"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("name", TREES)
def test_missing_sets_are_all_reported(name: str, data: Path) -> None:
    settings = paper(name)
    sets = check(settings.data)
    assert sets["problems"].map(bool).all()
    assert (sets["found"] == 0).all()
    with pytest.raises(DatasetError, match=str(data)):
        training_patches(settings.data, 24, 4, seed=0)
    with pytest.raises(DatasetError, match=str(data)):
        benchmark_images(settings.data)


def test_every_pairing_problem_is_listed(data: Path) -> None:
    write_folders(data, *RAIN)
    write(data / "Rain100H/input/alone.png", pixels(0))
    write(data / "Rain100H/target/a.png", pixels(0, 20, 20))
    shutil.rmtree(data / "Test100")
    sets = check(paper("derain").data).set_index("set")
    alone, size = sets.loc["Rain100H", "problems"]
    assert "alone.png has no partner" in alone
    assert "60x48 pixels degraded, 20x20 clean" in size
    assert len(sets.loc["Test100", "problems"]) == 2
    assert not sets.loc["Rain100L", "problems"]


def test_defocus_is_averaged_over_indoor_and_outdoor_scenes(data: Path, tmp_path: Path) -> None:
    write_dpdd(data)
    settings = paper("deblur_defocus")
    metrics = evaluate(Enlarge(), settings, tmp_path, progress=False)["DPDD"]
    assert {name: means["images"] for name, means in metrics.items()} == {
        "combined": 3,
        "indoor": 2,
        "outdoor": 1,
    }
    table = pd.read_csv(tmp_path / "per_image.csv")
    assert table["condition"].tolist() == ["indoor", "outdoor", "indoor"]
    for group, rows in table.groupby("condition"):
        assert metrics[str(group)]["psnr_db"] == pytest.approx(rows["psnr_db"].mean(), rel=1e-5)
    (data / "DPDD/indoor_labels.npy").unlink()
    (data / "DPDD/outdoor_labels.npy").unlink()
    assert list(evaluate(Enlarge(), settings, tmp_path, progress=False)["DPDD"]) == ["all"]
    (data / "DPDD/indoor_labels.npy").write_text("words")
    assert "indoor_labels.npy" in check(settings.data)["problems"].iloc[1][0]


def test_sidd_goes_in_and_out_as_matlab_files(data: Path, tmp_path: Path) -> None:
    write_sidd(data)
    settings, output = paper("denoise_real"), tmp_path / "out"
    evaluate(Enlarge(), settings, output, export=tmp_path / "export", progress=False)
    written = scipy.io.loadmat(tmp_path / "export/SIDD/Idenoised.mat")["Idenoised"]
    given = scipy.io.loadmat(data / "SIDD_validation/ValidationNoisyBlocksSrgb.mat")
    expected = given["ValidationNoisyBlocksSrgb"].astype(np.float32) / 255
    assert written.dtype == np.float32
    np.testing.assert_allclose(written, expected, atol=1e-6)
    table = pd.read_csv(output / "per_image.csv")
    assert table["image"].tolist() == ["01_01", "01_02", "01_03", "02_01", "02_02", "02_03"]
    assert list(table)[-2:] == ["channel_ssim_input", "channel_ssim"]


def test_damaged_sidd_files_are_all_named(data: Path) -> None:
    folder = data / "SIDD_validation"
    folder.mkdir()
    (folder / "ValidationNoisyBlocksSrgb.mat").write_text("words")
    with pytest.raises(DatasetError, match=r"2 problem.*not a MATLAB file.*no ValidationGtBlocks"):
        sidd_blocks(folder)
    for name in ("Noisy", "Gt"):
        variable = f"Validation{name}BlocksSrgb"
        scipy.io.savemat(folder / f"{variable}.mat", {variable: np.zeros((2, 3))})
    with pytest.raises(DatasetError, match=r"2 problem.*float64 of shape \(2, 3\); expected uint8"):
        sidd_blocks(folder)


def test_restored_images_are_exported(data: Path, tmp_path: Path) -> None:
    write_folders(data, "GoproTrain", "GoproTest", "HideTest")
    settings, export = paper("deblur_motion"), tmp_path / "export"
    evaluate(Enlarge(), settings, tmp_path, export=export, progress=False)
    for benchmark, folder in (("GoPro", "GoproTest"), ("HIDE", "HideTest")):
        exported = read_image(export / benchmark / "a.png")
        assert torch.equal(exported, read_image(data / folder / "input/a.png"))
    write_photographs(data)
    evaluate(Enlarge(), paper("denoise_gaussian"), tmp_path, export=export, progress=False)
    assert sorted(p.name for p in (export / "CBSD68").iterdir()) == [
        "sigma15",
        "sigma25",
        "sigma50",
    ]


def test_large_images_alone_are_shrunk(tmp_path: Path) -> None:
    write(tmp_path / "HR/a.png", pixels(0, 25, 31))
    degraded, clean = bicubic_pairs(tmp_path, 3)[0].read()
    assert clean.shape == (3, 24, 30)
    expected = bicubic_downsample(clean, 3).clamp(0, 1)
    assert (degraded - expected).abs().max() <= 0.5 / 255 + 1e-6
    torch.testing.assert_close(degraded * 255, (degraded * 255).round())


def test_bundled_sets_need_no_folder() -> None:
    sets = check(DataSettings())
    assert sets["found"].tolist() == [10, 3]
    assert sets["problems"].tolist() == [[], []]


def test_a_pool_degrades_each_crop_once() -> None:
    settings = DataSettings.model_validate(
        {"degradation": "motion_blur", "pool": {"crops": 3, "size": 40}}
    )
    patches = training_patches(settings, 16, 30, seed=1)
    first = [tensor.clone() for tensor in patches[7]]
    again = training_patches(settings, 16, 30, seed=1)
    for number in (3, 7):
        for one, other in zip(patches[number], again[number], strict=True):
            assert torch.equal(one, other)
    assert torch.equal(first[0], patches[7][0])
    assert not torch.equal(first[0], first[1])
    assert first[0].shape == first[1].shape == (3, 16, 16)
    assert len({tuple(patches[n][1].flatten().sort().values.tolist()) for n in range(30)}) > 20


def test_stand_ins_are_degraded_alike_in_every_run() -> None:
    data = DataSettings(degradation="rain", held_out_size=64)
    runs = [list(benchmark_images(data)["held-out photographs"]) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert one.degraded is not None
        assert other.degraded is not None
        assert torch.equal(one.degraded, other.degraded)
        torch.testing.assert_close(one.degraded * 255, (one.degraded * 255).round())
