"""``eamamba data check`` opens every image once, and names what is wrong before any training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from published_tasks import paper
from torch.utils.data import DataLoader

from eamamba.cli.program import main
from eamamba.config import DataSettings
from eamamba.datasets import (
    DatasetError,
    DatasetWarning,
    PairedFolder,
    PairedPatchDataset,
    PatchDataset,
    PhotoFolder,
    benchmark_images,
    check,
    manifest,
    opened,
    training_pairs,
    training_patches,
    training_photographs,
)
from eamamba.degradations import DEGRADATIONS
from eamamba.images import read_image, write_image

IMAGES = 200


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is remembered of images away from the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the sets of the deraining task, with one pair each."""
    folder = tmp_path / "data"
    monkeypatch.setenv("EAMAMBA_DATA", str(folder))
    for name in ("Rain13K", "Rain100H", "Rain100L", "Test100", "Test1200", "Test2800"):
        write_pairs(folder / name, 1)
    return folder


def write_pairs(root: Path, number: int) -> None:
    for side in ("input", "target"):
        (root / side).mkdir(parents=True)
        for index in range(number):
            write_image(root / side / f"{index:03d}.png", torch.full((3, 24, 32), index / 255))


def corrupt(file: Path) -> None:
    """Damage the pixels of a PNG file, not its header, and leave its size as it is."""
    content = bytearray(file.read_bytes())
    place = content.index(b"IDAT") + 6
    content[place : place + 8] = b"\xff" * 8
    file.write_bytes(content)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    reads: list[Path] = []

    def read(file: Path) -> torch.Tensor:
        reads.append(file)
        return read_image(file)

    monkeypatch.setattr(opened, "read_image", read)
    return reads


def test_one_corrupt_image_is_found_before_training(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "many", IMAGES // 2)
    (data / "Rain13K").rename(tmp_path / "old")
    (tmp_path / "many").rename(data / "Rain13K")
    assert main(["data", "check", "derain", "--profile", "paper"]) == 0
    bad = data / "Rain13K/target/057.png"
    corrupt(bad)
    assert main(["data", "check", "derain", "--profile", "paper"]) == 2
    shown = capsys.readouterr()
    (line,) = (line for line in shown.out.splitlines() if str(bad) in line)
    assert line.startswith("Rain13K (training): ")
    assert shown.err == "error: 1 of 6 data sets cannot be used as they are\n"


def test_whole_images_are_opened_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path / "set", 10)
    files = sorted((tmp_path / "set").rglob("*.png"))
    reads = counted(monkeypatch)
    assert opened.damaged(files) == {}
    assert sorted(reads) == files
    assert opened.damaged(files) == {}
    assert len(reads) == 20
    corrupt(files[3])  # same size, new time
    os.utime(files[3], ns=(0, 1))
    os.utime(files[5], ns=(0, 1))
    assert list(opened.damaged(files)) == [files[3]]
    assert sorted(reads[20:]) == [files[3], files[5]]
    assert list(opened.damaged(files)) == [files[3]]  # a damaged one is opened again
    assert reads[22:] == [files[3]]
    (cache / "eamamba/whole_images.json").write_text("words")
    assert list(opened.damaged(files)) == [files[3]]
    assert len(reads) == 43


def test_images_of_another_version_are_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path / "set", 2)
    files = sorted((tmp_path / "set").rglob("*.png"))
    opened.damaged(files)
    reads = counted(monkeypatch)
    monkeypatch.setattr(opened, "__version__", "0.0.0")
    assert opened.damaged(files) == {}
    assert sorted(reads) == files


def test_a_check_needs_no_cache_folder(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    write_pairs(tmp_path / "set", 1)
    assert opened.damaged((tmp_path / "set").rglob("*.png")) == {}


def test_everything_wrong_is_named_in_one_check(data: Path) -> None:
    folder = data / "Rain100H"
    for name in ("001", "002", "003", "004"):
        for side in ("input", "target"):
            write_image(folder / side / f"{name}.png", torch.zeros(3, 24, 32))
    corrupt(folder / "input/001.png")
    (folder / "target/002.png").write_text("words")
    write_image(folder / "input/003.png", torch.zeros(3, 20, 32))
    (folder / "target/004.png").unlink()
    (folder / "input/photo.heic").write_bytes(b"x")
    row = check(paper("derain").data, decode=True).set_index("set").loc["Rain100H"]
    assert row["found"] == 4
    assert len(row["problems"]) == 4
    for part in ("001.png", "002.png cannot", "003: 32x20", "004.png has no partner"):
        assert sum(part in problem for problem in row["problems"]) == 1
    assert row["notes"] == [f"{folder / 'input'}: skipped 1 .heic"]


def test_skipped_kinds_are_said_by_check_training_and_evaluation(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Rain13K", "Rain100H"):
        (data / name / "input/photo.heic").write_bytes(b"x")
    assert main(["data", "check", "derain", "--profile", "paper"]) == 0
    shown = capsys.readouterr().out
    for line in ("Rain13K (training): note: ", "Rain100H (benchmark): note: "):
        assert f"{line}{data}" in shown
    with pytest.warns(DatasetWarning, match=r"Rain13K/input: skipped 1 \.heic"):
        training_pairs(paper("derain").data)
    with pytest.warns(DatasetWarning, match=r"Rain100H/input: skipped 1 \.heic"):
        benchmark_images(paper("derain").data)
    photographs = DataSettings(training_set=str(data / "Rain13K/input"))
    with pytest.warns(DatasetWarning, match=r"skipped 1 \.heic"):
        training_photographs(photographs)


def test_a_folder_that_cannot_be_read_is_named_and_the_others_go_on(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def iterdir(folder: Path) -> object:
        if folder == data / "Test100/target":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    sets = check(paper("derain").data).set_index("set")["problems"]
    (problem,) = sets.pop("Test100")
    assert problem == (
        f"{data / 'Test100/target'}: cannot be read (Permission denied); check its permissions"
    )
    assert not sets.map(bool).any()


def test_every_missing_folder_of_photographs_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"one: no such folder.*two: no such folder"):
        PhotoFolder(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("setting", ["training_set", "benchmarks"])
def test_pairs_are_never_replaced_by_bundled_photographs(setting: str, data: Path) -> None:
    given = {"training_set": str(data / "Rain13K"), "benchmarks": {"Own": str(data / "Rain100H")}}
    del given[setting]
    settings = DataSettings.model_validate({"layout": "pairs"} | given)
    message = "bundled photographs are not pairs"
    uses = check(settings).set_index("use")["problems"]
    assert message in uses["training" if setting == "training_set" else "benchmark"][0]
    with pytest.raises(DatasetError, match=message):
        manifest(settings)
    with pytest.raises(DatasetError, match=message):
        benchmark_images(settings) if setting == "benchmarks" else training_patches(
            settings, 16, 1, 0
        )


@pytest.mark.parametrize("kind", ["pairs", "photographs"])
def test_workers_say_the_same_one_line(kind: str, tmp_path: Path) -> None:
    write_pairs(tmp_path, 2)
    for file in tmp_path.rglob("*.png"):
        corrupt(file)
    patches: PairedPatchDataset | PatchDataset = (
        PairedPatchDataset(PairedFolder(tmp_path), 16, 4, seed=0)
        if kind == "pairs"
        else PatchDataset(
            PhotoFolder(tmp_path / "input"), DEGRADATIONS["gaussian_noise"], 16, 4, seed=0
        )
    )
    lines = set()
    for workers in (0, 2):
        with pytest.raises(DatasetError) as caught:
            list(DataLoader(patches, batch_size=2, num_workers=workers))
        lines.add(str(caught.value))
    (line,) = lines
    assert str(tmp_path) in line
    assert "\n" not in line
    assert "Traceback" not in line
