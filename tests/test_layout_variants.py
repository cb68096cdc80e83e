"""Published data sets as people have them on disk: other names, sizes, endings, odd files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from eamamba.datasets import (
    LAYOUTS,
    DatasetError,
    PairedFolder,
    PairedImages,
    PhotoFolder,
    bicubic_pairs,
    dpdd,
    realsr,
    reside,
    sidd,
)
from eamamba.degradations import bicubic_downsample
from eamamba.images import write_image

DROPPINGS = b"\0\5\x16\7\0\2\0\0Mac OS X        "


def picture(seed: int, height: int = 24, width: int = 36) -> Tensor:
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    return smooth.mul(255).round().div(255)


def write(path: Path, image: Tensor) -> None:
    """Write an image, and beside it what macOS leaves on foreign disks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image.mul(255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)
    path.with_name(f"._{path.name}").write_bytes(DROPPINGS)


def test_sots_indoor_is_cut_by_ten_pixels_a_side(tmp_path: Path) -> None:
    clean = picture(0, 480, 640)
    for number in range(1, 3):
        write(tmp_path / f"hazy/1400_{number}.png", clean[:, 10:-10, 10:-10])
    write(tmp_path / "hazy/1401_1.png", clean[:, 10:-10, 10:-10])
    write(tmp_path / "gt/1400.png", clean)
    write(tmp_path / "gt/1401.png", clean[:, 10:-10, 10:-10])  # cut already
    for pair in reside(tmp_path):
        degraded, reference = pair.read()
        assert degraded.shape == (3, 460, 620)
        assert torch.equal(degraded, reference)
    write(tmp_path / "gt/1400.png", clean[:, :-2, :-2])
    with pytest.raises(DatasetError, match="1400_1: 620x460 pixels degraded, 638x478 clean"):
        reside(tmp_path)


@pytest.mark.parametrize("folder", ["gt", "GT", "clear", "Clear"])
def test_clean_images_of_reside_lie_in_gt_or_clear(folder: str, tmp_path: Path) -> None:
    write(tmp_path / "hazy/1_1_0.90179.png", picture(0))
    write(tmp_path / "hazy/12_1_0.8.png", picture(1))
    write(tmp_path / f"{folder}/1.png", picture(0))
    write(tmp_path / f"{folder}/12.png", picture(1))
    for pair in reside(tmp_path):
        degraded, clean = pair.read()
        assert torch.equal(degraded, clean)


@pytest.mark.parametrize("ending", ["PNG", "png", "Png"])
def test_endings_of_sidd_and_realsr_may_be_of_any_case(ending: str, tmp_path: Path) -> None:
    scene = tmp_path / "Data/0001_001_S6"
    write(scene / f"0001_NOISY_SRGB_010.{ending}", picture(0))
    write(scene / f"0001_GT_SRGB_010.{ending}", picture(1))
    (pair,) = sidd(tmp_path)
    assert pair.name == "0001_001_S6/0001_NOISY_SRGB_010"
    assert torch.equal(pair.read()[1], picture(1))
    for camera in ("Canon", "Nikon"):
        write(tmp_path / camera / "Test/4" / f"x_001_LR4.{ending}", picture(0))
        write(tmp_path / camera / "Test/4" / f"x_001_HR.{ending}", picture(1))
    assert [pair.name for pair in realsr(tmp_path, "Test", 4)] == ["Canon/x_001", "Nikon/x_001"]


def test_what_macos_leaves_is_passed_over_everywhere(tmp_path: Path) -> None:
    write(tmp_path / "a/input/1.png", picture(0))
    write(tmp_path / "a/target/1.png", picture(0))
    assert len(PairedFolder(tmp_path / "a")) == len(PhotoFolder(tmp_path / "a/input")) == 1
    write(tmp_path / "b/HR/1.png", picture(0))
    (tmp_path / "b/._HR").write_bytes(DROPPINGS)
    assert len(bicubic_pairs(tmp_path / "b", 2)) == 1


def test_skipped_kinds_are_counted_and_named(tmp_path: Path) -> None:
    for folder in ("input", "target"):
        write(tmp_path / folder / "a.png", picture(0))
    for name in ("b.heic", "c.HEIC", "notes.txt", "LICENSE"):
        (tmp_path / "input" / name).write_bytes(b"x")
    (tmp_path / "input/more").mkdir()
    (tmp_path / "input/lost.png").symlink_to(tmp_path / "nowhere.png")
    expected = "skipped 2 .heic, 1 .txt, 1 broken link, 1 file without a suffix, 1 folder"
    assert PairedFolder(tmp_path).notes == [f"{tmp_path / 'input'}: {expected}"]
    assert PhotoFolder(tmp_path / "input").notes == [f"{tmp_path / 'input'}: {expected}"]
    (tmp_path / "input/a.png").unlink()
    with pytest.raises(DatasetError, match=r"no images \(found: 2 .heic, 1 .txt"):
        PhotoFolder(tmp_path / "input")


def shots(root: Path, sources: list[str], targets: list[str]) -> PairedImages:
    for side, names in (("source", sources), ("target", targets)):
        for seed, name in enumerate(names):
            write(root / f"test_c/{side}/{name}.png", picture(seed))
    return dpdd(root, "test")


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["1", "2", "10"], ["01", "02", "10"]),
        (["1P0A0917", "1P0A0933", "1P0A1002"], ["1P0A0916", "1P0A0932", "1P0A1004"]),
        (["b", "a", "c"], ["b", "a", "c"]),
        (["IMG_998", "IMG_1000"], ["IMG_999", "IMG_1001"]),
    ],
)
def test_dpdd_is_matched_by_names_or_shot_numbers(
    sources: list[str], targets: list[str], tmp_path: Path
) -> None:
    pairs = shots(tmp_path, sources, targets)
    assert len(pairs) == len(sources)
    for pair in pairs:
        degraded, clean = pair.read()
        assert torch.equal(degraded, clean)


@pytest.mark.parametrize(
    ("sources", "targets", "problem"),
    [
        # 0916 and 0965 were lost: by sort order, every scene would get the next one's target
        (["1P0A0917", "1P0A0933", "1P0A0949"], ["1P0A0932", "1P0A0948", "1P0A0964"], "neither"),
        (["left", "right"], ["first", "second"], "neither those of target nor shots"),
        (["a", "b"], ["a", "c"], "source/b.png has no partner; test_c/target/c.png has no"),
    ],
)
def test_dpdd_is_never_matched_by_mere_order(
    sources: list[str], targets: list[str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=problem):
        shots(tmp_path, sources, targets)


def test_places_of_dpdd_groups_count_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "indoor_labels.npy", np.array([2]))
    np.save(tmp_path / "outdoor_labels.npy", np.array([0, 1]))
    pairs = shots(tmp_path, ["1", "2", "10"], ["1", "2", "10"])
    assert {pair.name: pair.group for pair in pairs} == {
        "1": "outdoor",
        "2": "outdoor",
        "10": "indoor",
    }


def write_set14(root: Path, small: str, scale: int) -> None:
    for number, name in enumerate(("baboon", "barbara", "comic"), start=1):
        large = picture(number, 12 * scale, 16 * scale)
        write(root / f"HR/{name}.bmp", large)
        low = bicubic_downsample(large, scale).clamp(0, 1)
        write(root / small / f"img_{number:03d}_SRF_{scale}_LR.png", low)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("case", ["x", "X"])
def test_small_images_may_be_numbered(scale: int, case: str, tmp_path: Path) -> None:
    folder = f"LR_bicubic/{case}{scale}"
    write_set14(tmp_path, folder, scale)
    pairs = bicubic_pairs(tmp_path, scale)
    assert [pair.clean.stem for pair in pairs] == ["baboon", "barbara", "comic"]
    first, second = (tmp_path / folder / f"img_00{n}_SRF_{scale}_LR.png" for n in (1, 2))
    first.rename(tmp_path / "kept.png")
    second.rename(first)
    (tmp_path / "kept.png").rename(second)
    with pytest.raises(DatasetError, match=rf"2 problem.*LR.png is not baboon.bmp shrunk {scale}"):
        bicubic_pairs(tmp_path, scale)
    first.unlink()
    with pytest.raises(DatasetError, match=r"HR/baboon.bmp has no partner"):
        bicubic_pairs(tmp_path, scale)


@pytest.mark.parametrize("large", ["0001", "0001_HR", "0001_SRF_3_HR"])
@pytest.mark.parametrize("small", ["0001x3", "0001_LR", "0001_SRF_3_LR", "0001"])
def test_names_of_small_images(large: str, small: str, tmp_path: Path) -> None:
    write(tmp_path / f"HR/{large}.png", picture(0, 24, 36))
    write(tmp_path / f"LR_bicubic/x3/{small}.png", picture(0, 8, 12))
    (pair,) = bicubic_pairs(tmp_path, 3)
    assert (pair.clean.stem, pair.degraded[0].stem) == (large, small)
    write_image(tmp_path / "LR_bicubic/x3/0001.bmp", picture(0, 8, 12))
    with pytest.raises(DatasetError, match=r"both (0001.bmp|belong to)"):
        bicubic_pairs(tmp_path, 3)


def test_both_focal_lengths_of_city100_are_read(tmp_path: Path) -> None:
    for name in ("001L.PNG", "001H.PNG", "009L.PNG", "009H.PNG"):
        write(tmp_path / name, picture(0, 12, 18))
    (tmp_path / "009H.PNG").rename(tmp_path / "009h.png")
    write(tmp_path / "scene.png", picture(0, 12, 18))
    pairs = LAYOUTS["city100"].test(tmp_path)
    names = [(pair.name, pair.degraded[0].name, pair.clean.name) for pair in pairs]
    assert names == [("001", "001L.PNG", "001H.PNG"), ("009", "009L.PNG", "009h.png")]
    assert pairs.notes == [f"{tmp_path}: skipped 1 image(s) with other names"]
    (tmp_path / "001L.PNG").unlink()
    with pytest.raises(DatasetError, match=r"001H\.PNG has no partner"):
        LAYOUTS["city100"].test(tmp_path)


def test_self_exemplar_folders_are_read(tmp_path: Path) -> None:
    for kind, size in (("HR", (24, 36)), ("LR", (12, 18)), ("glasner", (24, 36))):
        write(tmp_path / f"image_SRF_2/img_001_SRF_2_{kind}.png", picture(0, *size))
    pairs = bicubic_pairs(tmp_path, 2)
    assert [pair.clean.name for pair in pairs] == ["img_001_SRF_2_HR.png"]
    assert pairs.notes == [f"{tmp_path / 'image_SRF_2'}: skipped 1 image(s) with other names"]
