"""Scores on a folder of published sets: what is measured, left out, and counted as worse."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from pictures import seeded, shaded_picture

from eamamba import paths
from eamamba.checkpoint import find_weights, save_model
from eamamba.config import Settings, load_settings
from eamamba.evaluation.real_pairs import (
    SETS,
    RealPairsError,
    score_real_pairs,
    summarise,
    write,
)
from eamamba.images import write_image
from eamamba.network import build

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "params.yaml", "smoke")


def write_pairs(folder: Path, count: int) -> None:
    clean = shaded_picture()
    for number in range(count):
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=seeded(number))
        for place, image in (("input", noisy.clamp(0, 1)), ("target", clean)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            write_image(folder / place / f"{number}.png", image)


@pytest.fixture
def weights(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a network that leaves every image as it is, for rain only."""
    monkeypatch.setenv("EAMAMBA_ROOT", str(tmp_path))
    torch.manual_seed(0)
    model = build(settings.task("derain").model)
    torch.nn.init.zeros_(model.output.weight)
    path = paths.trained_model("smoke", "derain")
    save_model(model, path, task="derain")
    return path


@pytest.mark.usefixtures("weights")
def test_sets_without_weights_or_folder_are_left_out_and_said(
    settings: Settings, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "Rain100H", 2)
    write_pairs(tmp_path / "CC15", 1)
    said: list[str] = []
    table = score_real_pairs(
        tmp_path, settings, lambda task: find_weights(f"smoke/{task}"), say=said.append
    )
    assert table["task"].tolist() == ["derain"] * 2
    assert table["image"].astype(str).tolist() == ["0", "1"]
    assert (table["psnr_db"] == table["psnr_input_db"]).all()
    assert table["weights_md5"].nunique() == 1
    (line,) = said
    assert line.startswith("denoise_real, CC15: skipped: no weights for 'denoise_real'")


def test_only_chosen_tasks_are_scored(settings: Settings, weights: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "Rain100H", 1)
    with pytest.raises(RealPairsError, match=r"nothing to score; expected folders such as CBSD68"):
        score_real_pairs(tmp_path, settings, lambda _: weights, tasks=["denoise_real"])


def test_an_image_that_cannot_be_read_is_named_and_the_others_count(
    settings: Settings, weights: Path, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "Rain100H", 2)
    (tmp_path / "Rain100H/input/1.png").write_bytes(b"no picture")
    said: list[str] = []
    table = score_real_pairs(tmp_path, settings, lambda _: weights, say=said.append)
    assert summarise(table)["images"].tolist() == [1]
    assert "1 of 2 images" in said[0]


def test_the_summary_counts_what_got_worse(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "task": "derain",
            "weights_md5": "0",
            "benchmark": ["a", "a", "a", "b"],
            "image": ["1", "2", "3", "1"],
            "condition": "all",
            "psnr_input_db": [20.0, 20, 20, 30],
            "psnr_db": [22.0, 19, 23.5, 30],
        }
    )
    summary = write(table, tmp_path).set_index("benchmark")
    assert summary.loc["a", ["images", "worse"]].tolist() == [3, 1]
    assert summary.loc["a", "gain_db"] == pytest.approx(1.5)
    assert -1 <= summary.loc["a", "gain_low_db"] < 1.5 < summary.loc["a", "gain_high_db"] <= 3.5
    assert pd.isna(summary.loc["b", "gain_low_db"]), "one image has no spread"
    assert summary.loc["b", ["images", "worse", "gain_db"]].tolist() == [1, 0, 0]
    assert pd.read_csv(tmp_path / "summary.csv")["gain_db"].tolist() == [1.5, 0]
    assert pd.read_csv(tmp_path / "per_image.csv")["psnr_db"].tolist() == [22, 19, 23.5, 30]


def test_scoring_one_task_keeps_the_rows_of_the_others(tmp_path: Path) -> None:
    def scored(task: str, psnr_db: float) -> pd.DataFrame:
        row = {"weights_md5": "0", "benchmark": "a", "image": "1", "condition": "all"}
        scores = {"psnr_input_db": 20.125, "psnr_db": psnr_db}
        return pd.DataFrame([{"task": task} | row | scores, {"task": task} | row | scores])

    write(scored("derain", 22.123456), tmp_path)
    alone = (tmp_path / "summary.csv").read_text().splitlines()[1]
    write(scored("denoise_real", 25), tmp_path)
    assert write(scored("denoise_real", 26), tmp_path)["task"].tolist() == ["denoise_real"]
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["task"].tolist() == ["denoise_real", "derain"]
    assert summary["psnr_db"].tolist() == [26, pytest.approx(22.1235)]
    assert (tmp_path / "summary.csv").read_text().splitlines()[2] == alone
    assert len(pd.read_csv(tmp_path / "per_image.csv")) == 4


def test_every_task_of_the_sets_exists(settings: Settings) -> None:
    assert set(SETS) <= set(settings.tasks)
