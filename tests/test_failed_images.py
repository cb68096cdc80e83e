"""An evaluation goes on past what it cannot measure, and says so in its table and its status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from published_tasks import Enlarge, paper
from torch import Tensor

from eamamba.checkpoint import save_model
from eamamba.cli.program import main
from eamamba.config import EAMambaSettings, MambaSettings, TaskSettings
from eamamba.datasets import DatasetError
from eamamba.degradations import DEGRADATIONS
from eamamba.evaluation import EvaluationError, evaluate
from eamamba.images import write_image
from eamamba.network import EAMamba

IMAGES = 12


def task(name: str, **data: object) -> TaskSettings:
    settings = paper(name)
    return settings.model_copy(update={"data": settings.data.model_copy(update=data)})


def picture(height: int = 40, width: int = 48) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(height))


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-60])


def write_pairs(root: Path, number: int = IMAGES) -> Path:
    for side in ("input", "target"):
        (root / side).mkdir(parents=True)
        for index in range(number):
            write_image(root / side / f"{index:02d}.png", picture())
    return root


def write_unusable(root: Path) -> list[str]:
    """Put one of each kind among good pairs, and return their names."""
    damage(root / "input/03.png")
    damage(root / "target/04.png")
    (root / "input/05.png").write_bytes(b"")
    write_image(root / "target/06.png", picture(41))
    for side in ("input", "target"):
        write_image(root / side / "07.png", picture(1, 1))
        write_image(root / side / "08.png", picture(15, 15))
    return ["03", "04", "05", "06", "07", "08"]


def test_unusable_pairs_do_not_end_an_evaluation(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set")
    bad = write_unusable(root)
    settings = task("derain", benchmarks={"Own": str(root)})
    with pytest.raises(EvaluationError) as caught:
        evaluate(Enlarge(), settings, tmp_path, export=tmp_path / "export", progress=False)
    text = str(caught.value)
    assert text.startswith("6 of 12 images")
    assert "Own 03: " in text
    assert "and 3 more" in text
    assert "\n" not in text
    table = pd.read_csv(tmp_path / "per_image.csv", dtype={"image": str})
    assert table["image"].tolist() == [f"{index:02d}" for index in range(IMAGES)]
    assert table.loc[table["problem"].notna(), "image"].tolist() == bad
    assert table["psnr_db"].isna().tolist() == table["problem"].notna().tolist()
    assert list(table)[-1] == "problem"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == caught.value.metrics
    assert metrics["Own"]["all"]["images"] == IMAGES - len(bad)
    exported = sorted(file.stem for file in (tmp_path / "export/Own").iterdir())
    assert exported == [name for name in table["image"] if name not in bad]


def test_the_others_score_as_they_would_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(4):
        write_image(folder / f"{index}.png", picture(40 + index))
    settings = task("denoise_gaussian", benchmarks={"Own": str(folder)})
    evaluate(Enlarge(), settings, tmp_path / "whole", progress=False)
    damage(folder / "1.png")
    with pytest.raises(EvaluationError, match=r"1 of 4 .* Own 1.png: "):
        evaluate(Enlarge(), settings, tmp_path / "damaged", progress=False)
    whole, damaged = (
        pd.read_csv(tmp_path / run / "per_image.csv").query("image != '1.png'")
        for run in ("whole", "damaged")
    )
    pd.testing.assert_frame_equal(
        whole.reset_index(drop=True), damaged.drop(columns="problem").reset_index(drop=True)
    )


@pytest.mark.parametrize("kind", sorted(DEGRADATIONS))
def test_tiny_photographs_are_named_under_every_degradation(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, size in {"a": (1, 1), "b": (1, 30), "c": (2, 3), "whole": (40, 48)}.items():
        write_image(folder / f"{name}.png", picture(*size))
    scale = int(kind[-1]) if kind.startswith("bicubic") else 1
    name = f"sr_light_x{scale}" if scale > 1 else "denoise_gaussian"
    if kind == "dual_pixel_defocus":
        name = "deblur_defocus_dual"
    settings = task(name, benchmarks={"Own": str(folder)}, degradation=kind, layout="photographs")
    with pytest.raises(EvaluationError, match=r"3 of 4 .* Own a.png: .*pixels.* Own c.png"):
        evaluate(Enlarge(scale), settings, tmp_path, progress=False)
    for means in json.loads((tmp_path / "metrics.json").read_text())["Own"].values():
        assert means["images"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_name_that_is_no_text_does_not_end_an_evaluation(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a\udcff.png", "b\udcff.png"):
        write_image(folder / name, picture())
    damage(folder / "b\udcff.png")
    settings = task("denoise_gaussian", benchmarks={"Own": str(folder)})
    with pytest.raises(EvaluationError, match="1 of 2 "):
        evaluate(Enlarge(), settings, tmp_path, progress=False)
    table = pd.read_csv(tmp_path / "per_image.csv")
    assert table["image"].tolist() == [*["a\\udcff.png"] * 3, "b\\udcff.png"]


def test_a_missing_benchmark_does_not_end_the_others(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", 2)
    places = {"Lost": str(tmp_path / "nowhere"), "Own": str(root)}
    with pytest.raises(EvaluationError, match=r"Lost: .*nowhere/input: no such folder"):
        evaluate(Enlarge(), task("derain", benchmarks=places), tmp_path, progress=False)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["Lost"] == {}
    assert metrics["Own"]["all"]["images"] == 2


def test_a_test_without_any_images_is_refused(tmp_path: Path) -> None:
    for places in ({}, {"Lost": str(tmp_path / "nowhere")}):
        with pytest.raises(DatasetError, match=r"data.benchmarks is empty|nowhere"):
            evaluate(Enlarge(), task("derain", benchmarks=places), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


class Diverged(Enlarge):
    """Gives colours that are no numbers for one of its inputs."""

    def forward(self, image: Tensor) -> Tensor:
        output = super().forward(image)
        return output * torch.nan if image.mean() > 0.9 else output


def test_an_output_that_is_not_finite_has_no_score(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", 2)
    write_image(root / "input/01.png", torch.ones(3, 40, 48))
    settings = task("derain", benchmarks={"Own": str(root)})
    with pytest.raises(EvaluationError, match=r"Own 01: .*NaN or infinite"):
        evaluate(Diverged(), settings, tmp_path, progress=False)


def test_half_a_set_of_blocks_is_not_exported(tmp_path: Path) -> None:
    blocks = np.zeros((1, 2, 32, 32, 3), np.uint8)
    blocks[0, 1] = 255
    for name in ("Noisy", "Gt"):
        variable = f"Validation{name}BlocksSrgb"
        scipy.io.savemat(tmp_path / f"{variable}.mat", {variable: blocks})
    settings = task("denoise_real", benchmarks={"Own": str(tmp_path)})
    with pytest.raises(EvaluationError, match="Own 01_02"):
        evaluate(Diverged(), settings, tmp_path, export=tmp_path / "export", progress=False)
    assert not (tmp_path / "export").exists()


def test_a_network_of_another_kind_is_refused_at_once(tmp_path: Path) -> None:
    settings = task("derain", benchmarks={"Own": str(write_pairs(tmp_path / "set", 1))})
    with pytest.raises(EvaluationError, match=r"enlarges images 2 times, .* needs 1"):
        evaluate(Enlarge(2), settings, tmp_path, progress=False)
    six = EAMamba(tiny(inp_channels=6, dual_pixel_task=True)).eval()
    with pytest.raises(EvaluationError, match=r"takes 6 channels, the task 'derain' gives 3"):
        evaluate(six, settings, tmp_path, progress=False)
    assert not (tmp_path / "per_image.csv").exists()


def tiny(**changes: object) -> EAMambaSettings:
    return EAMambaSettings.model_validate(
        {
            "dim": 16,
            "num_blocks": (1, 1, 1, 1),
            "num_refinement_blocks": 1,
            "mamba_cfg": MambaSettings(scan_count=1, d_state=4),
        }
        | changes
    )


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write weights of the denoising task, and the sets of the deraining task but one."""
    data = tmp_path / "data"
    monkeypatch.setenv("EAMAMBA_DATA", str(data))
    for name in ("Rain100H", "Rain100L", "Test100", "Test1200"):
        write_pairs(data / name, 2)
    torch.manual_seed(0)
    save_model(EAMamba(tiny()), tmp_path / "noise.safetensors", task="denoise_gaussian")
    return tmp_path / "noise.safetensors"


def run(weights: Path, *more: str) -> int:
    chosen = ["--profile", "paper", "--device", "cpu", "--weights", str(weights)]
    return main(["evaluate", "derain", *chosen, "--output", str(weights.parent / "out"), *more])


def test_the_command_writes_everything_and_ends_with_status_2(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(weights.parent / "data/Rain100L/input/00.png")
    assert run(weights) == 2
    shown = capsys.readouterr()
    for line in ("Rain100H, all: ", "Rain100L, all: ", "Test1200, all: ", "written to "):
        assert line in shown.out
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    for place in ("Rain100L 00", "Test2800"):  # said when it is met, and again at the end
        assert sum(line.startswith(f"note: {place}: ") for line in shown.err.splitlines()) == 1
    assert "Rain100L 00: " in errors[0]
    assert "Test2800: " in errors[0]
    table = pd.read_csv(weights.parent / "out/per_image.csv")
    assert len(table) == 4 * 2 + 1


def test_weights_of_another_task_are_named(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(weights.parent / "data/Test2800", 1)
    assert run(weights) == 0
    shown = capsys.readouterr().err
    assert f"{weights}: weights of the task 'denoise_gaussian', used for 'derain'" in shown
    save_model(EAMamba(tiny()), weights, task="derain")
    assert run(weights) == 0
    assert "weights of the task" not in capsys.readouterr().err
    save_model(EAMamba(tiny()), weights, task="denoise_gaussian")
    photo, output = weights.parent / "data/Rain100H/input/00.png", weights.parent / "photo.png"
    options = ["--task", "derain", "--weights", str(weights), "--output", str(output)]
    assert main(["restore", str(photo), *options]) == 0
    assert "'denoise_gaussian', used for 'derain'" in capsys.readouterr().err
