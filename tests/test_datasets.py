"""Data sets: the bundled photographs, folders of images, and patches fixed by their number."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from eamamba.config import DataSettings
from eamamba.datasets import (
    BUNDLED_PHOTOGRAPHS,
    DatasetError,
    PatchDataset,
    PhotoFolder,
    bundled,
    bundled_photographs,
    credits,
    orient,
    training_patches,
)
from eamamba.degradations import DEGRADATIONS, motion_blur
from eamamba.images import ImageError, write_image


def unchanged(clean: Tensor, rng: Generator) -> Tensor:  # noqa: ARG001
    return clean


def pictures(*sizes: tuple[int, int]) -> list[Tensor]:
    rng = Generator().manual_seed(0)
    return [torch.randint(256, (3, *size), generator=rng) / 255 for size in sizes]


def test_bundled_photographs_load_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise OSError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    bundled._load_photograph.cache_clear()
    train, held_out = bundled_photographs("train"), bundled_photographs("held_out")
    assert len(train) >= 8
    assert len(held_out) >= 3
    assert not train.keys() & held_out.keys()
    assert len(train) + len(held_out) == len(BUNDLED_PHOTOGRAPHS)
    for image in (*train.values(), *held_out.values()):
        assert image.dtype == torch.float32
        assert image.shape[0] == 3
        assert min(image.shape[1:]) >= 300
        assert 0 <= image.min() < image.max() <= 1


def test_both_sides_hold_colour_photographs() -> None:
    for split in ("train", "held_out"):
        coloured = [
            bool((image[0] != image[2]).any()) for image in bundled_photographs(split).values()
        ]
        assert sum(coloured) >= 3


def test_every_photograph_is_credited() -> None:
    lines = credits().splitlines()
    assert len(lines) == len(BUNDLED_PHOTOGRAPHS)
    for photo, line in zip(BUNDLED_PHOTOGRAPHS, lines, strict=True):
        assert all(part in line for part in (photo.name, photo.credit, photo.licence, photo.source))
        assert photo.credit
        assert photo.licence
        assert photo.source.startswith("http")


@pytest.mark.parametrize("package", ["skimage", "no_such_package"])
def test_a_package_without_its_photographs_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = bundled.BundledPhotograph("cat", "train", package, "data/cat.png", "", "", "")
    monkeypatch.setattr(bundled, "BUNDLED_PHOTOGRAPHS", (absent,))
    with pytest.raises(DatasetError, match=rf"'cat': {package}/data/cat.png is not installed"):
        bundled_photographs("train")


def test_a_patch_depends_on_seed_and_number_alone() -> None:
    images = pictures((40, 50), (33, 64))
    first = PatchDataset(images, DEGRADATIONS["gaussian_noise"], 16, 50, seed=3)
    again = PatchDataset(images, DEGRADATIONS["gaussian_noise"], 16, 50, seed=3)
    torch.rand(5)  # the global generator plays no part
    for index in (49, 0, 7, 7):
        for one, other in zip(first[index], again[index], strict=True):
            assert torch.equal(one, other)
    shorter = PatchDataset(images, DEGRADATIONS["gaussian_noise"], 16, 8, seed=3)
    assert torch.equal(shorter[7][0], first[7][0])
    other_seed = PatchDataset(images, DEGRADATIONS["gaussian_noise"], 16, 50, seed=4)
    assert not torch.equal(other_seed[7][0], first[7][0])
    assert torch.equal(first[-1][0], first[49][0])
    with pytest.raises(IndexError):
        first[50]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    patches = PatchDataset(pictures((40, 50)), motion_blur, 32, 6, seed=0)
    loaded = DataLoader(patches, batch_size=2, num_workers=workers)
    for batch, (degraded, clean) in enumerate(loaded):
        for place in range(2):
            expected = patches[2 * batch + place]
            assert torch.equal(degraded[place], expected[0])
            assert torch.equal(clean[place], expected[1])


def test_patches_are_pieces_of_the_images_in_all_orientations() -> None:
    marked = torch.arange(30 * 40.0).reshape(1, 30, 40).repeat(3, 1, 1)
    patches = PatchDataset([marked], unchanged, 8, 300, seed=0)
    corners, steps = set(), set()
    for degraded, clean in patches:
        assert torch.equal(degraded, clean)
        assert clean.is_contiguous()
        down, right = (int(clean[0, 1, 0] - clean[0, 0, 0]), int(clean[0, 0, 1] - clean[0, 0, 0]))
        assert {abs(down), abs(right)} == {1, 40}
        steps.add((down, right))
        corners.add(int(clean.min()))
    assert len(steps) == 8
    rows, columns = {corner // 40 for corner in corners}, {corner % 40 for corner in corners}
    assert rows == set(range(23))
    assert columns == set(range(33))


def test_orientations_are_distinct_and_keep_the_pixels() -> None:
    image = torch.arange(9.0).reshape(1, 3, 3)
    turned = [orient(image, mode) for mode in range(8)]
    assert torch.equal(turned[0], image)
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 8
    assert all(torch.equal(one.flatten().sort().values, image.flatten()) for one in turned)


def test_small_images_are_continued() -> None:
    (image,) = pictures((5, 7))
    _, clean = PatchDataset([image], unchanged, 16, 1, seed=0)[0]
    assert clean.shape == (3, 16, 16)
    assert set(clean.flatten().tolist()) <= set(image.flatten().tolist())


def test_super_resolution_patches_shrink() -> None:
    degraded, clean = PatchDataset(pictures((40, 40)), DEGRADATIONS["bicubic_x4"], 32, 1, 0)[0]
    assert (degraded.shape, clean.shape) == ((3, 8, 8), (3, 32, 32))


def test_impossible_patches_are_refused() -> None:
    with pytest.raises(DatasetError, match="no images"):
        PatchDataset([], unchanged, 8, 1, 0)
    with pytest.raises(DatasetError, match="1 patches of 0 pixels"):
        PatchDataset(pictures((8, 8)), unchanged, 0, 1, 0)


def test_settings_choose_the_training_patches(tmp_path: Path) -> None:
    silent = training_patches(DataSettings(sigma_255=(0, 0)), 24, 5, 1)
    degraded, clean = silent[2]
    assert torch.equal(degraded, clean)
    noisy, same = training_patches(DataSettings(sigma_255=(25, 25)), 24, 5, 1)[2]
    assert torch.equal(same, clean)
    assert float((noisy - clean).std() * 255) == pytest.approx(25, rel=0.1)

    (image,) = pictures((24, 24))
    write_image(tmp_path / "one.png", image)
    own = training_patches(DataSettings(training_set=str(tmp_path)), 24, 5, 1)
    assert torch.equal(own[0][1].flatten().sort().values, image.flatten().sort().values)
    with pytest.raises(DatasetError, match="no such folder"):
        training_patches(DataSettings(training_set=str(tmp_path / "missing")), 24, 5, 1)


def test_a_share_of_the_patches_stays_clear() -> None:
    data = DataSettings(degradation="rain", clear_share=0.25)
    patches = training_patches(data, 16, 200, seed=0)
    clear = [bool(torch.equal(*patches[number])) for number in range(200)]
    assert 30 <= sum(clear) <= 70
    assert clear == [bool(torch.equal(*patches[number])) for number in range(200)]
    without = training_patches(data.model_copy(update={"clear_share": 0}), 16, 200, seed=0)
    assert not any(torch.equal(*without[number]) for number in range(20))


@pytest.mark.parametrize("degradation", ["bicubic_x2", "dual_pixel_defocus"])
def test_patches_of_another_shape_cannot_stay_clear(degradation: str) -> None:
    with pytest.raises(ValueError, match="clear_share"):
        DataSettings(degradation=degradation, clear_share=0.1)


def test_a_folder_of_photographs_is_read_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures((10, 12), (10, 12), (8, 9))
    for name, image in zip("abc", images, strict=True):
        write_image(tmp_path / f"{name}.png", image)
    folder = PhotoFolder(tmp_path, cache_bytes=2 * images[0].nbytes)
    reads: list[str] = []

    def counted(path: Path) -> Tensor:
        reads.append(path.stem)
        return images["abc".index(path.stem)]

    monkeypatch.setattr("eamamba.datasets.folders.read_image", counted)
    assert len(folder) == 3
    assert not reads
    for index in (0, 1, 0, 2, 0, 1):
        assert torch.equal(folder[index], images[index])
    assert reads == ["a", "b", "c", "b"]
    assert torch.equal(folder[-1], images[2])
    assert len(folder[:2]) == 2
    with pytest.raises(IndexError):
        folder[3]
    with pytest.raises(DatasetError, match="no such folder"):
        PhotoFolder(tmp_path / "missing")


def test_a_damaged_photograph_says_so_when_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(ImageError, match="not an image"):
        PhotoFolder(tmp_path)[0]


def test_photographs_come_without_loading_their_packages() -> None:
    script = (
        "import sys; from eamamba.datasets import bundled_photographs as read; read('train'); "
        "sys.exit('sklearn' in sys.modules and 'scikit-learn takes a second to import')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
