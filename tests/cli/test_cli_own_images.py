"""``eamamba train --photos | --pairs``: from a folder to weights and a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_files import files, lines_said, one_error, picture

from eamamba.checkpoint import read_header
from eamamba.cli.own_images import REPORT
from eamamba.images import read_image
from eamamba.training import Trainer

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--profile", "smoke", "--iterations", 2, "--device", "cpu", "-o", "out")
PHOTOS = ("train", "--photos", "photos", "--degradation", "gaussian_noise", *SMALL)


@pytest.fixture
def own(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs and pairs, and no project around it."""
    folder = tmp_path / "elsewhere"
    for place in ("photos", "pairs/input", "pairs/target"):
        (folder / place).mkdir(parents=True)
        for number in range(11):
            picture(folder / place / f"{number:02}.png", 40, 48, is_gray=place == "pairs/input")
    (project / "params.yaml").unlink()
    monkeypatch.chdir(folder)
    return folder


def test_photographs_give_weights_and_a_report(run: Run, own: Path) -> None:
    before = {path: path.read_bytes() for path in own.rglob("*.png")}
    status, output, errors = run(*PHOTOS)
    assert (status, lines_said(errors)) == (0, [])
    out = Path("out")
    assert output == f"weights: {out / 'model.safetensors'}\nreport: {out / REPORT}\n"
    assert files(out / "images/held_out") == ["00.png"]
    assert files(out / "images/training") == [f"{number:02}.png" for number in range(1, 11)]
    assert {path: path.read_bytes() for path in before} == before
    header = read_header(out / "model.safetensors")
    assert (header["task"], header["extra"]["iterations"]) == ("denoise_gaussian", 2)
    text = (out / REPORT).read_text(encoding="utf-8")
    assert "Learnt from 10 images (gaussian_noise) in 2 iterations." in text
    for name in ("comparison.jpg", "training_curve.png"):
        assert f"({name})" in text
        assert read_image(out / name).ndim == 3
    restore = ("restore", "photos/03.png", "--weights", "out/model.safetensors", "-o", "a.png")
    status, output, _ = run(*restore)
    assert status == 0
    assert read_image("a.png").shape == (3, 40, 48)


def test_pairs_give_weights_and_a_report(run: Run, own: Path) -> None:
    status, _, errors = run("train", "--pairs", "pairs", *SMALL)
    assert (status, lines_said(errors)) == (0, [])
    assert files(own / "out/images/training/input") == files(own / "pairs/target")[1:]
    assert read_header("out/model.safetensors")["task"] == "own_pairs"
    assert "(pairs)" in (own / "out" / REPORT).read_text(encoding="utf-8")
    assert run("restore", "photos/03.png", "-w", "out", "-o", "a.png")[0] == 0


def test_pairs_with_nothing_to_learn_give_no_report(run: Run, own: Path) -> None:
    shutil.copyfile(own / "pairs/target/00.png", own / "pairs/input/00.png")
    status, output, errors = run("train", "--pairs", "pairs", *SMALL)
    assert (status, output) == (2, f"weights: {Path('out/model.safetensors')}\n")
    assert "the same before and after" in one_error(errors)


def test_an_interruption_is_made_up_for(
    run: Run, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, output, _ = run(*PHOTOS, "--time-limit", 0)
    assert (status, files(own / "out")) == (0, ["images", "training.log", "training_state.pt"])
    assert "time limit reached" in output
    assert run(*PHOTOS)[0] == 0
    (own / "out" / REPORT).unlink()  # as if the test had been interrupted

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "step", refuse)
    assert run(*PHOTOS)[0] == 0
    assert (own / "out" / REPORT).is_file()
    assert "finished weights are here" in one_error(run(*PHOTOS)[2])


def test_other_images_are_another_training(run: Run, own: Path) -> None:
    run(*PHOTOS, "--time-limit", 0)
    (own / "photos/05.png").unlink()
    assert "an interrupted training with other images" in one_error(run(*PHOTOS)[2])
    assert "05.png" not in files(own / "out/images/training")
    assert run(*PHOTOS, "--fresh")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photos", "photos"], "results with --output FOLDER"),
        (["--photos", "photos", "-o", "out"], "needs --degradation, one of bicubic_x2, "),
        (["--photos", "photos", "--pairs", "pairs", "-o", "out"], "exclude each other"),
        (["--pairs", "photos", "-o", "out"], "photos/input: no such folder"),
        (["--pairs", "pairs", "--degradation", "rain", "-o", "out"], "not used with --pairs"),
        (["derain", "--photos", "photos", "-o", "out"], "need no task"),
        (["--photos", "one", "--degradation", "rain", "-o", "out"], "one: 1 image in it; expected"),
        (["--photos", "photos", "--degradation", "rian", "-o", "out"], "did you mean 'rain'?"),
        ([], "name a task, or your own images"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Run, own: Path, arguments: list[str], message: str
) -> None:
    (own / "one").mkdir()
    picture(own / "one/a.png")
    status, _, errors = run("train", *arguments, "--profile", "smoke")
    assert status == 2
    assert message in one_error(errors)
    assert not (own / "out").exists()
