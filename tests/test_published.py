"""The published data sets: tiny copies of their layouts, and real ones where they are at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from PIL import Image
from published_tasks import Enlarge, paper

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
HEIGHT, WIDTH = 48, 60


def pixels(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_pairs(root: Path, degraded: str, clean: str) -> None:
    image = pixels(1)
    write(root / clean, image)
    write(root / degraded, image // 2 + 40)


def write_photographs(root: Path) -> None:
    for place in ("DIV2K/DIV2K_train_HR", "Flickr2K", "WED", "BSD400"):
        write(root / place / "0001.png", pixels(0))
    for place in ("CBSD68", "Kodak24", "McMaster", "Urban100/HR"):
        write(root / place / "a.png", pixels(0))


def write_sidd(root: Path) -> None:
    scene = "SIDD_Medium_Srgb/Data/0001_001_S6"
    for number in ("010", "011"):
        names = (f"{scene}/0001_{kind}_SRGB_{number}.PNG" for kind in ("NOISY", "GT"))
        write_pairs(root, *names)
    blocks = np.stack([pixels(n, 24, 24) for n in range(6)]).reshape(2, 3, 24, 24, 3)
    folder = root / "SIDD_validation"
    folder.mkdir()
    for name, values in (("Noisy", blocks // 2), ("Gt", blocks)):
        variable = f"Validation{name}BlocksSrgb"
        scipy.io.savemat(folder / f"{variable}.mat", {variable: values})


def write_folders(root: Path, *names: str) -> None:
    for name in names:
        write_pairs(root / name, "input/a.png", "target/a.png")


def write_dpdd(root: Path) -> None:
    for split in ("train", "test"):
        for number in range(3):
            image = pixels(number)
            write(root / f"DPDD/{split}_c/target/1P0A{number}5.png", image)
            for view in "clr":
                write(root / f"DPDD/{split}_{view}/source/1P0A{number}1.png", image // 2)
    np.save(root / "DPDD/indoor_labels.npy", np.array([0, 2]))
    np.save(root / "DPDD/outdoor_labels.npy", np.array([1]))


def write_reside(root: Path, training: str, test: str) -> None:
    write_pairs(root / "RESIDE" / training, "hazy/0001_0.8_0.2.jpg", "gt/0001.png")
    write_pairs(root / "RESIDE" / test, "hazy/1400_10.png", "gt/1400.png")


def write_realsr(root: Path, scale: int) -> None:
    for camera in ("Canon", "Nikon"):
        for split in ("Train", "Test"):
            folder = root / "RealSR" / camera / split / str(scale)
            write_pairs(folder, f"x_001_LR{scale}.png", "x_001_HR.png")


def write_bicubic(root: Path, scale: int) -> None:
    places = ["DIV2K/DIV2K_train_", *(f"{name}/" for name in ("Set5", "Set14", "B100", "Urban100"))]
    for place in places:
        image = pixels(1, 24 * scale, 30 * scale + 1)  # a column without counterpart
        write(root / f"{place}HR/0001.png", image)
        small = np.asarray(Image.fromarray(image).resize((30, 24)))
        write(root / f"{place}LR_bicubic/X{scale}/0001x{scale}.png", small)
    write(root / "DIV2K/DIV2K_valid_HR/0801.png", pixels(0))


RAIN = ("Rain13K", "Rain100H", "Rain100L", "Test100", "Test1200", "Test2800")
TREES: dict[str, Callable[[Path], None]] = {
    "denoise_gaussian": write_photographs,
    "denoise_real": write_sidd,
    "deblur_motion": lambda root: write_folders(root, "GoproTrain", "GoproTest", "HideTest"),
    "deblur_defocus": write_dpdd,
    "deblur_defocus_dual": write_dpdd,
    "dehaze_indoor": lambda root: write_reside(root, "ITS", "SOTS/indoor"),
    "dehaze_outdoor": lambda root: write_reside(root, "OTS", "SOTS/outdoor"),
    "derain": lambda root: write_folders(root, *RAIN),
}
TREES |= {f"sr_real_x{scale}": partial(write_realsr, scale=scale) for scale in (2, 3, 4)}
TREES |= {f"sr_light_x{scale}": partial(write_bicubic, scale=scale) for scale in (2, 3, 4)}


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
