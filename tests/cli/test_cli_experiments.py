"""The experiments from the command line, and the program itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_files import PARAMS, files, lines_said, one_error, picture

from eamamba.images import read_photo
from eamamba.profiling import measured

Run = Callable[..., tuple[int, str, str]]


def test_complexity_of_the_paper_model(run: Run) -> None:
    status, output, errors = run("complexity", "--json")
    assert (status, errors) == (0, "")
    cost = json.loads(output)
    assert cost["parameters"] == 25_320_512
    assert cost["gflops"] == pytest.approx(137.27, abs=0.02)
    assert cost["size"] == 256


def test_complexity_of_a_task(run: Run) -> None:
    task = ("complexity", "--task", "denoise_gaussian")
    status, output, _ = run(*task, "--profile", "smoke", "--size", 64)
    assert status == 0
    assert "GFLOPs at 64×64 pixels (one multiply-add = 1 FLOP)" in output
    for arguments, message in [
        ((*task, "--size", 100), "expected a multiple of 8"),
        (("complexity", "--profile", "smoke"), "need a --task"),
    ]:
        status, _, errors = run(*arguments)
        assert status == 2
        assert message in one_error(errors)


def test_complexity_by_layer_and_by_size(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    task = ("complexity", "-t", "denoise_gaussian", "--size", 16, "--device", "cpu")
    status, output, errors = run(*task, "--summary")
    assert (status, errors) == (0, "")
    header, first, *_ = output.splitlines()
    assert header.split() == ["layer", "kind", "output", "parameters", "GFLOPs"]
    assert first.split() == ["patch_embed", "PatchEmbed", "16×16×8", "216", "0.000"]
    monkeypatch.setattr(measured, "_free_mib", lambda _: 4)
    status, output, errors = run(*task, "--growth")
    assert (status, errors) == (0, "")
    *rows, last = output.splitlines()[2:]
    sides = [16 * 2**doubling for doubling in range(len(rows))]
    assert [row.split()[0] for row in rows] == [f"{side}×{side}" for side in sides]
    assert last == f"{2 * sides[-1]}×{2 * sides[-1]} needs more memory than is free"
    assert "exclude each other" in one_error(run(*task, "--growth", "--json")[2])


@pytest.mark.parametrize(
    ("old", "new", "arguments"),
    [
        ("profile", "complexity", ["--json"]),
        ("erf", "receptive-field", ["denoise_gaussian", "-o", "field.csv"]),
    ],
)
def test_old_names_of_commands_work_and_say_the_new_one(
    run: Run, old: str, new: str, arguments: list[str]
) -> None:
    status, output, errors = run(new, *arguments)
    note = f"note: eamamba {old} is now called eamamba {new}\n"
    assert run(old, *arguments) == (status, output, note + errors)
    shown = run("--help")[1]
    assert re.search(rf"\b{new}\b", shown)
    assert not re.search(rf"\s{old}\s", shown), "hidden"


def test_dry_run_trains_nothing(run: Run, project: Path) -> None:
    status, output, _ = run("train", "denoise_gaussian", "--dry-run")
    assert status == 0
    assert "iterations" in output
    assert files(project) == ["params.yaml"]


def test_dry_run_says_what_is_missing(run: Run) -> None:
    status, output, errors = run("train", "derain", "--dry-run", "--profile", "paper")
    assert (status, errors) == (0, "")
    assert "450,000 iterations in total" in output
    assert re.search(r"about [\d,]+ hours on cpu", output)
    assert "one multiply-add = 1 FLOP" in output
    assert "missing: Rain13K (training)" in output


def test_data_check_lists_every_set(run: Run) -> None:
    status, output, errors = run("data", "check", "derain", "--profile", "paper")
    assert status == 2
    assert "6 of 6 data sets cannot be used" in one_error(errors)
    for name, expected in [("Rain13K", "13711"), ("Test100", "98"), ("Test2800", "2800")]:
        (row,) = [line for line in output.splitlines() if line.split()[:1] == [name]][:1]
        assert expected in row
        assert "https://" in row
    status, output, errors = run("data", "check", "derain")
    assert (status, errors) == (0, "")
    assert "bundled" in output


def test_restored_test_images_are_exported(run: Run, weights: Path, project: Path) -> None:
    task = ("evaluate", "denoise_gaussian", "-w", weights, "-o", "scores")
    status, output, _ = run(*task, "--export", "restored", "--device", "cpu")
    assert status == 0
    assert "RGB PSNR and SSIM" in output
    assert len(list((project / "restored").rglob("*.png"))) == 9


def test_images_of_ones_own_need_no_settings(
    run: Run, weights: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for place in ("photos/a.png", "pairs/input/a.png", "pairs/target/a.png"):
        (elsewhere / place).parent.mkdir(parents=True)
        picture(elsewhere / place, 32, 40)
    (project / "params.yaml").unlink()
    monkeypatch.chdir(elsewhere)
    task = ("evaluate", "denoise_gaussian", "-w", weights, "--device", "cpu")
    status, output, errors = run(*task, "--images", "photos", "-o", "scores")
    assert (status, lines_said(errors)) == (0, [])
    conditions = re.findall(r"^photos, (\w+): ", output, re.MULTILINE)
    assert conditions == ["sigma15", "sigma25", "sigma50"]
    assert run(*task, "--images", "pairs", "-o", "pair_scores")[0] == 0
    metrics = json.loads((elsewhere / "pair_scores/metrics.json").read_text())
    assert list(metrics["pairs"]) == ["all"]
    assert "--output FOLDER" in one_error(run(*task, "--images", "photos")[2])
    assert "no such folder" in one_error(run(*task, "--images", "pohtos", "-o", "scores")[2])


def test_self_ensemble_has_results_of_its_own(run: Run, weights: Path) -> None:
    status, output, _ = run("evaluate", "denoise_gaussian", "--self-ensemble", "--device", "cpu")
    assert status == 0
    folder = weights.parent / "self_ensemble"
    assert files(folder) == ["metrics.json", "per_image.csv"]
    assert f"written to {folder / 'metrics.json'}" in output


def test_receptive_field_of_a_noisy_image(run: Run, weights: Path, project: Path) -> None:
    field = ("receptive-field", "denoise_gaussian", "-w", weights, "--device", "cpu")
    for name, options in {"a": ["--noise", "0"], "b": ["--noise", "50"], "c": []}.items():
        assert run(*field, "-o", f"{name}.png", *options)[0] == 0
        assert read_photo(project / f"{name}.png").rgb.shape[0] == 3


def test_experiments_follow_one_another(run: Run, project: Path) -> None:
    task, folder = "denoise_gaussian", project / "results/smoke/denoise_gaussian"
    status, output, _ = run("train", task, "--device", "cpu")
    assert status == 0
    assert f"weights: {folder / 'model.safetensors'}" in output
    status, output, _ = run("evaluate", task, "--device", "cpu")
    assert status == 0
    assert "psnr_db" in output
    assert {"metrics.json", "per_image.csv", "training.csv"} <= set(files(folder))
    status, output, _ = run("receptive-field", task, "-o", "field.png", "--position", "centre")
    assert status == 0
    assert read_photo(project / "field.png").rgb.shape[0] == 3
    picture(project / "a.png")
    assert run("restore", "a.png", "--task", task, "-o", "out.png")[0] == 0


def test_receptive_fields_are_png_files(run: Run) -> None:
    status, _, errors = run("receptive-field", "denoise_gaussian", "-o", "field.csv")
    assert status == 2
    assert "expected a file ending in .png" in one_error(errors)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, away from the project's folder."""
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from eamamba.cli import main; status = main(['--help']);"
        "sys.exit(status or ('torch' in sys.modules and 'help imported torch'))"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "restore" in done.stdout


def test_module_is_the_program() -> None:
    done = python("-m", "eamamba", "--version")
    assert done.stdout.startswith("eamamba ")
    failed = python("-m", "eamamba", "train", "derian", "--profile", "smoke", "--dry-run")
    assert failed.returncode == 2
    one_error(failed.stderr)
