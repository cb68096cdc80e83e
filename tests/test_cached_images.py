"""Decoded images in tiles: the same patches, bit for bit, made once and checked when read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from published_tasks import paper
from published_trees import TREES, pixels

from eamamba.config import DataSettings
from eamamba.datasets import DatasetError, training_patches
from eamamba.datasets.cached import Cached, fill, missing
from eamamba.datasets.tiled import TiledImage, write_tiled
from eamamba.datasets.training import cached_training_set
from eamamba.training.record import data_hash


def random_image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("levels", [255, 65535, None])
@pytest.mark.parametrize("shape", [(3, 300, 520), (6, 20, 300), (3, 1, 1)])
def test_every_part_is_that_of_the_image(
    levels: int | None, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    image = random_image(*shape)
    if levels:
        image = image.mul(levels).round().div(levels)
    write_tiled(tmp_path / "a", {"one": image, "other": image.flip(-1)})
    tiled = TiledImage(tmp_path / "a", "one")
    assert tiled.shape == image.shape
    assert torch.equal(tiled[:, :, :], image)
    height, width = shape[1:]
    rng = np.random.default_rng(0)
    for _ in range(20):
        top, left = rng.integers(height), rng.integers(width)
        rows = slice(top, rng.integers(top, height) + 1)
        columns = slice(left, rng.integers(left, width) + 1)
        assert torch.equal(tiled[:, rows, columns], image[:, rows, columns])
    size = (tmp_path / "a").stat().st_size
    per_value = {255: 1, 65535: 2, None: 4}[levels]
    assert size < 2 * image.numel() * per_value * 1.2 + 2000


def test_damage_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    write_tiled(file, {"one": random_image(3, 300, 300).mul(255).round().div(255)})
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    tiled = TiledImage(file, "one")
    assert tiled[:, :100, :100].shape == (3, 100, 100)
    with pytest.raises(DatasetError, match="damaged; delete it"):
        tiled[:, :, :]
    for wrong in (content[:500], b"", b"words"):
        file.write_bytes(wrong)
        with pytest.raises(DatasetError, match="not a readable file of tiles"):
            TiledImage(file, "one")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], DataSettings]:
    """Return a function that makes the data of a task and settings that keep it decoded."""
    monkeypatch.setenv("EAMAMBA_DATA", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()

    def settings(task: str) -> DataSettings:
        TREES[task](tmp_path / "sets")
        return paper(task).data.model_copy(update={"cache": str(tmp_path / "cache")})

    return settings


@pytest.mark.parametrize("task", TREES)
@pytest.mark.parametrize("patch", [24, 96])  # the latter is larger than the images
def test_patches_are_the_same(
    task: str, patch: int, cached: Callable[[str], DataSettings], tmp_path: Path
) -> None:
    data = cached(task)
    plain = training_patches(data.model_copy(update={"cache": None}), patch, 6, seed=3)
    tiled = training_patches(data, patch, 6, seed=3)
    for number in range(6):
        for one, other in zip(plain[number], tiled[number], strict=True):
            assert torch.equal(one, other)
    assert list((tmp_path / "cache").glob("*.safetensors"))
    assert data_hash(data) == data_hash(data.model_copy(update={"cache": None}))


def cache_of(data: DataSettings) -> Cached:
    images = cached_training_set(data)
    assert images is not None
    return images


def test_only_what_is_not_there_yet_is_decoded(
    cached: Callable[[str], DataSettings], tmp_path: Path
) -> None:
    data, said = cached("denoise_real"), []
    images = cache_of(data)
    assert missing(images) == [0, 1]
    images[1].read()
    assert missing(images) == [0]
    fill(images, said.append)
    assert said[0].startswith("1 of 2 to decode: about 0.00 GiB in ")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    fill(cache_of(data), said.append)
    assert said[1] == "all 2 are in the cache"
    assert {path: path.stat().st_mtime_ns for path in written} == written
    noisy = next((tmp_path / "sets").rglob("*_NOISY_*.PNG"))
    Image.fromarray(pixels(9)).save(noisy)
    assert missing(cache_of(data)) == [0], "it is another image now"


def test_a_damaged_file_is_made_again(
    cached: Callable[[str], DataSettings], tmp_path: Path
) -> None:
    data = cached("derain")
    expected = training_patches(data, 24, 1, seed=0)[0]
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:200])
    for one, other in zip(training_patches(data, 24, 1, seed=0)[0], expected, strict=True):
        assert torch.equal(one, other)


def test_a_full_disk_is_noticed_beforehand(
    cached: Callable[[str], DataSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = cache_of(cached("derain"))
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match=r"0.00 GiB free, about 0.00 GiB needed; choose another"):
        fill(images, lambda _: None)
    assert not list((tmp_path / "cache").iterdir())


def test_bundled_photographs_are_in_memory_already(tmp_path: Path) -> None:
    assert cached_training_set(DataSettings(cache=str(tmp_path))) is None
    assert training_patches(DataSettings(cache=str(tmp_path)), 16, 1, seed=0)[0][1].shape[0] == 3
