"""Pairs of photographs that lie on their side: their EXIF orientation turns them first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from published_tasks import Enlarge, paper

from eamamba.config import TaskSettings
from eamamba.datasets import DatasetError, PairedFolder, PairedPatchDataset, check
from eamamba.datasets.pairs import upright_size
from eamamba.evaluation import EvaluationError, evaluate
from eamamba.images import read_image

HEIGHT, WIDTH = 48, 64
ORIENTATIONS = range(1, 9)
ENDINGS = ["png", "jpg", "webp", "tif"]
_ORIENTATION_TAG = 0x0112
_TURN = Image.Transpose
# EXIF orientation -> what a camera held so does to an upright picture.
STORED = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_90,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_270,
}


def upright() -> Image.Image:
    x, y = torch.meshgrid(torch.arange(WIDTH), torch.arange(HEIGHT), indexing="xy")
    shades = torch.stack([3 * x, 5 * y, 2 * (x + y)], dim=-1)
    return Image.fromarray(shades.clamp(0, 255).byte().numpy())


def write_turned(path: Path, orientation: int) -> None:
    """Write the picture as a camera does that was held so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = upright()
    stored = image.transpose(STORED[orientation]) if orientation in STORED else image
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    options = {"quality": 100, "subsampling": "4:4:4"} if path.suffix == ".jpg" else {}
    stored.save(
        path, exif=exif, **options, **({"lossless": True} if path.suffix == ".webp" else {})
    )


def settings_for(folder: Path) -> TaskSettings:
    settings = paper("derain")
    data = settings.data.model_copy(update={"benchmarks": {"Own": str(folder)}})
    return settings.model_copy(update={"data": data})


@pytest.mark.parametrize("side", ["input", "target"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_photograph_fits_its_upright_partner(
    side: str, orientation: int, tmp_path: Path
) -> None:
    other = {"input": "target", "target": "input"}[side]
    for ending in ENDINGS:
        write_turned(tmp_path / side / f"{ending}.{ending}", orientation)
        write_turned(tmp_path / other / f"{ending}.png", 1)
    pairs = PairedFolder(tmp_path)
    assert len(pairs) == len(ENDINGS)
    for degraded, clean in PairedPatchDataset(pairs, 16, 20, seed=0):
        torch.testing.assert_close(degraded, clean, atol=4 / 255, rtol=0)
    means = evaluate(Enlarge(), settings_for(tmp_path), tmp_path, progress=False)["Own"]["all"]
    assert means["images"] == len(ENDINGS)
    table = (tmp_path / "per_image.csv").read_text().splitlines()
    assert all(float(line.split(",")[3]) > 40 for line in table[1:])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_header_says_the_size_that_is_read(
    ending: str, orientation: int, tmp_path: Path
) -> None:
    write_turned(tmp_path / f"a.{ending}", orientation)
    height, width = read_image(tmp_path / f"a.{ending}").shape[1:]
    assert upright_size(tmp_path / f"a.{ending}") == (width, height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("side", ["input", "target"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_equal_headers_of_unequal_pictures_are_refused(
    side: str, orientation: int, tmp_path: Path
) -> None:
    for folder in ("input", "target"):
        write_turned(tmp_path / folder / "a.png", 1)
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    upright().save(tmp_path / side / "a.png", exif=exif)
    degraded, clean = ("48x64", "64x48") if side == "input" else ("64x48", "48x64")
    message = f"a: {degraded} pixels degraded, {clean} clean"
    with pytest.raises(DatasetError, match=message):
        PairedFolder(tmp_path)
    with pytest.raises(DatasetError, match=message):
        PairedFolder(tmp_path, strict=False)[0].read()
    settings = settings_for(tmp_path)
    assert message in check(settings.data)["problems"].iloc[-1][0]
    with pytest.raises(EvaluationError, match=message):
        evaluate(Enlarge(), settings, tmp_path, progress=False)
