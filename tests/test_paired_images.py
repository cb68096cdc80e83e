"""Pairs of images on disk: every published layout, and every way of being wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from eamamba.datasets import (
    DatasetError,
    PairedFolder,
    PairedPatchDataset,
    PhotoFolder,
    bicubic_pairs,
    dpdd,
    realsr,
    reside,
    sidd,
)
from eamamba.degradations import bicubic_downsample, crop_to_multiple
from eamamba.images import write_image


def picture(seed: int, height: int = 20, width: int = 24) -> Tensor:
    rng = Generator().manual_seed(seed)
    return torch.randint(256, (3, height, width), generator=rng) / 255


def write(root: Path, files: dict[str, Tensor]) -> Path:
    for name, image in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image((root / name).with_suffix(".png"), image)
        (root / name).with_suffix(".png").rename(root / name)
    return root


def write_inverted_pairs(root: Path, names: str = "abc") -> Path:
    for seed, name in enumerate(names):
        image = picture(seed)
        write(root, {f"input/{name}.png": 1 - image, f"target/{name}.png": image})
    return root


def test_pairs_are_matched_by_name_and_cut_at_one_place(tmp_path: Path) -> None:
    write_inverted_pairs(tmp_path)
    (tmp_path / "input" / "b.png").rename(tmp_path / "input" / "b.bmp")
    pairs = PairedFolder(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b", "c"]
    assert len(pairs[1:]) == 2
    patches = PairedPatchDataset(pairs, 8, 10, seed=0)
    assert len(patches) == 10
    for degraded, clean in patches:
        assert clean.shape == (3, 8, 8)
        torch.testing.assert_close(degraded, 1 - clean)
    assert torch.equal(patches[4][1], patches[4][1])


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    write_inverted_pairs(tmp_path, "abcde")
    (tmp_path / "input" / "a.png").unlink()
    (tmp_path / "target" / "b.png").unlink()
    write_image(tmp_path / "input" / "c.png", picture(0, 10))
    (tmp_path / "target" / "d.png").write_text("words")
    write_image(tmp_path / "input" / "e.bmp", picture(0))
    with pytest.raises(DatasetError) as caught:
        PairedFolder(tmp_path)
    message = str(caught.value)
    for problem in (
        "5 problem(s)",
        "target/a.png has no partner",
        "input/b.png has no partner",
        "c: 24x10 pixels degraded, 24x20 clean",
        "target/d.png cannot be opened",
        "input: both e.bmp and e.png",
    ):
        assert problem in message
    assert "\n" not in message


def test_missing_folders_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"2 problem.*noisy: no such folder.*gt: no such folder"):
        PairedFolder(tmp_path, degraded="noisy", clean="gt")


def test_reside_shares_clean_images(tmp_path: Path) -> None:
    write(tmp_path, {"hazy/1400_1.png": picture(1), "hazy/1400_10.png": picture(2)})
    write(tmp_path, {"hazy/0001_0.8_0.2.jpg": picture(3)})
    write(tmp_path, {"gt/1400.png": picture(0), "gt/0001.png": picture(4)})
    pairs = reside(tmp_path)
    assert [(pair.name, pair.clean.name) for pair in pairs] == [
        ("0001_0.8_0.2", "0001.png"),
        ("1400_1", "1400.png"),
        ("1400_10", "1400.png"),
    ]


def test_sidd_pairs_both_shots_of_a_scene(tmp_path: Path) -> None:
    scene = "Data/0001_001_S6"
    for number in ("010", "011"):
        write(
            tmp_path,
            {
                f"{scene}/0001_NOISY_SRGB_{number}.PNG": picture(1),
                f"{scene}/0001_GT_SRGB_{number}.PNG": picture(2),
            },
        )
    pairs = sidd(tmp_path)
    assert len(pairs) == 2
    assert all(pair.clean.name == pair.degraded[0].name.replace("NOISY", "GT") for pair in pairs)
    (tmp_path / scene / "0001_NOISY_SRGB_010.PNG").unlink()
    (tmp_path / scene / "0001_GT_SRGB_011.PNG").unlink()
    with pytest.raises(DatasetError, match=r"NOISY_SRGB_011.PNG has no.*GT_SRGB_010.PNG has no"):
        sidd(tmp_path)
    with pytest.raises(DatasetError, match="no pairs in it"):
        sidd(tmp_path / "elsewhere")


def test_dpdd_gives_one_view_or_two(tmp_path: Path) -> None:
    views = {"c": picture(1), "l": picture(2), "r": picture(3)}
    for view, image in views.items():
        write(tmp_path, {f"test_{view}/source/1P0A1.png": image})
    write(tmp_path, {"test_c/target/1P0A2.png": picture(0)})
    degraded, clean = dpdd(tmp_path, "test")[0].read()
    assert torch.equal(degraded, views["c"])
    assert torch.equal(clean, picture(0))
    pair = dpdd(tmp_path, "test", dual_pixel=True)
    assert torch.equal(pair[0].read()[0], torch.cat([views["l"], views["r"]]))
    degraded, clean = PairedPatchDataset(pair, 8, 1, seed=0)[0]
    assert (degraded.shape, clean.shape) == ((6, 8, 8), (3, 8, 8))
    write(tmp_path, {"test_l/source/1P0A3.png": picture(0)})
    with pytest.raises(DatasetError, match=r"unequal numbers of images: 2 in test_l/source, 1 in"):
        dpdd(tmp_path, "test", dual_pixel=True)
    with pytest.raises(DatasetError, match=r"2 problem.*train_c/source.*train_c/target"):
        dpdd(tmp_path, "train")


def test_realsr_takes_both_cameras(tmp_path: Path) -> None:
    for camera in ("Canon", "Nikon"):
        folder = f"{camera}/Test/2"
        write(
            tmp_path, {f"{folder}/x_001_HR.png": picture(0), f"{folder}/x_001_LR2.png": picture(1)}
        )
    pairs = realsr(tmp_path, "Test", 2)
    assert [pair.name for pair in pairs] == ["Canon/x_001", "Nikon/x_001"]
    assert torch.equal(pairs[0].read()[0], picture(1))
    (tmp_path / "Canon/Test/2/x_001_LR2.png").unlink()
    with pytest.raises(DatasetError, match=r"Canon/Test/2/x_001: no x_001_LR2.png"):
        realsr(tmp_path, "Test", 2)
    with pytest.raises(DatasetError, match=r"Canon/Train/3: no such folder.*Nikon/Train/3"):
        realsr(tmp_path, "Train", 3)


@pytest.mark.parametrize("prefix", ["", "DIV2K_train_"])
def test_bicubic_pairs_are_cut_on_one_grid(tmp_path: Path, prefix: str) -> None:
    blocks = picture(0, 7, 9).repeat_interleave(3, 1).repeat_interleave(3, 2)
    wide = torch.cat([blocks, blocks[..., :2]], 2)  # two columns that fill no whole pixel
    write(
        tmp_path,
        {f"{prefix}HR/0001.png": wide, f"{prefix}LR_bicubic/X3/0001x3.png": blocks[:, ::3, ::3]},
    )
    pairs = bicubic_pairs(tmp_path, 3)
    for degraded, clean in PairedPatchDataset(pairs, 12, 30, seed=0):
        assert (degraded.shape, clean.shape) == ((3, 4, 4), (3, 12, 12))
        assert torch.equal(clean[:, ::3, ::3], degraded)
    with pytest.raises(DatasetError, match="patches of 10 pixels; expected a multiple of 3"):
        PairedPatchDataset(pairs, 10, 1, seed=0)
    with pytest.raises(DatasetError, match=r"X2: no such folder"):
        bicubic_pairs(tmp_path, 2)
    write(tmp_path, {f"{prefix}LR_bicubic/X2/0001x2.png": picture(0)})
    with pytest.raises(DatasetError, match=r"24x20 pixels degraded, 29x21 clean; expected 2 times"):
        bicubic_pairs(tmp_path, 2)


def test_bicubic_pairs_need_one_folder_of_large_images(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none found; expected one folder"):
        bicubic_pairs(tmp_path, 2)


@pytest.fixture
def benchmarks() -> Path:
    """Return the folder of published benchmarks, where there is one."""
    folder = os.environ.get("EAMAMBA_BENCHMARKS")
    if folder is None:
        pytest.skip("set EAMAMBA_BENCHMARKS to a folder with CBSD68, Set5, SOTS-indoor, Rain100H")
    return Path(folder)


def test_published_benchmarks_are_read(benchmarks: Path) -> None:
    assert len(PhotoFolder(benchmarks / "CBSD68")) == 68
    assert len(PairedFolder(benchmarks / "Rain100H")) > 0
    for pair in reside(benchmarks / "SOTS-indoor")[:3]:
        degraded, clean = pair.read()
        assert degraded.shape == clean.shape
        assert degraded.mean() > clean.mean()  # haze brightens


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_published_bicubic_images_equal_ours(benchmarks: Path, scale: int) -> None:
    for pair in bicubic_pairs(benchmarks / "Set5", scale):
        small, large = pair.read()
        ours = bicubic_downsample(crop_to_multiple(large, scale), scale).clamp(0, 1)
        # MATLAB rounds and clips 8-bit images after each of its two passes.
        error_255 = (ours - small).abs() * 255
        assert error_255.max() < 2.5
        assert error_255.mean() < 0.3
