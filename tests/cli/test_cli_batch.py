"""``eamamba restore`` on many photos: in part, through folders, resumed, compared and logged."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_files import files, network, one_error, picture
from torch import Tensor

from eamamba import paths
from eamamba.checkpoint import save_model
from eamamba.cli.comparison import interesting_boxes
from eamamba.images import read_image, read_photo, write_image
from eamamba.network import EAMamba
from eamamba.restore import precision

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def changing(project: Path) -> tuple[str, str]:
    save_model(network(changes=True), project / "w.safetensors", task="denoise_gaussian")
    return ("-w", "w.safetensors")


@pytest.mark.usefixtures("project")
def test_strength_blends(run: Run, project: Path, changing: tuple[str, str]) -> None:
    source = picture(project / "a.png", bits=16)
    results: dict[float, Tensor] = {}
    for strength in (0, 0.25, 1):
        arguments = (*changing, "--strength", strength, "-o", f"{strength}.png")
        assert run("restore", source, *arguments)[0] == 0
        results[strength] = read_image(f"{strength}.png")
    assert torch.equal(results[0], read_image(source))
    assert not torch.equal(results[1], results[0])
    expected = results[0] + 0.25 * (results[1] - results[0])
    torch.testing.assert_close(results[0.25], expected, rtol=0, atol=2 / 65535)
    assert run("restore", source, *changing, "--strength", 1.5, "-o", "b.png")[0] == 2


@pytest.mark.usefixtures("weights")
def test_subfolders_are_kept(run: Run, project: Path) -> None:
    for name in ("in/a.png", "in/sub/a.png", "in/sub/deep/b.gif", "in/.hidden/c.png", "in/none"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        picture(project / name) if name.endswith("png") else None
    picture(project / "in/sub/deep/b.png").rename(project / "in/sub/deep/b.webp")
    options = ("-t", "denoise_gaussian", "--recursive", "-o", "in/out")
    for _ in range(2):  # the second time, the output lies in the input
        status, output, errors = run("restore", "in", *options)
        assert (status, errors) == (0, "")
        assert "3 restored of 3 photos" in output
    found = sorted(str(p.relative_to("in/out")) for p in Path("in/out").rglob("*.*"))
    assert found == ["a.png", "sub/a.png", "sub/deep/b.webp"]
    (project / "bare/deep").mkdir(parents=True)
    status, _, errors = run("restore", "bare", *options)
    assert status == 2
    assert "bare: no images in it or its subfolders" in one_error(errors)


@pytest.mark.usefixtures("weights")
def test_an_interrupted_batch_goes_on(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [picture(project / f"{name}.png") for name in "abc"]
    command = ("restore", *photos, "-t", "denoise_gaussian", "-o", "out")
    forward, calls = EAMamba.forward, []

    def interrupted(model: EAMamba, image: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return forward(model, image)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(EAMamba, "forward", interrupted)
        assert run(*command)[0] == 130
    assert files(project / "out") == ["a.png"]
    (project / "out/a.png").write_bytes(b"kept")
    status, output, _ = run(*command, "--skip-existing")
    assert status == 0
    assert "a.png: skipped, out/a.png exists" in output
    assert output.splitlines()[-1].startswith("2 restored, 1 skipped of 3 photos in ")
    assert (project / "out/a.png").read_bytes() == b"kept"
    status, _, errors = run(*command, "--skip-existing", "--overwrite")
    assert status == 2
    assert "contradict each other" in one_error(errors)


@pytest.mark.usefixtures("weights")
def test_a_log_for_scripts(run: Run, project: Path) -> None:
    good, bad = picture(project / "a.png"), project / "b.png"
    bad.write_text("words")
    options = ("-t", "denoise_gaussian", "-o", "out", "--json")
    status, output, errors = run("restore", good, bad, *options)
    assert status == 2
    how, first, second, total = map(json.loads, output.splitlines())
    assert how["precision"] == "float32"
    assert first["source"] == str(good)
    assert (first["status"], first["width"], first["height"]) == ("restored", 12, 9)
    assert (second["status"], second["error"]) == ("failed", one_error(errors)[len("error: ") :])
    assert (total["restored"], total["failed"], total["skipped"]) == (1, 1, 0)


@pytest.mark.usefixtures("weights")
def test_equal_images_have_a_score_in_json(run: Run, project: Path) -> None:
    source = picture(project / "a.png", 40, 40)
    options = ("-t", "denoise_gaussian", "-o", "out.png", "--truth", source, "--json")
    output = run("restore", source, *options)[1]
    photo = json.loads(output.splitlines()[1], parse_constant=pytest.fail)
    assert photo["scores"]["psnr_db"] is None
    assert photo["scores"]["ssim"] == pytest.approx(1)


@pytest.mark.usefixtures("weights")
def test_a_terminal_shows_the_progress_of_all_photos(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [picture(project / f"{name}.png") for name in "abc"]
    command = ("restore", *photos, "-t", "denoise_gaussian", "-o", "out")
    assert run(*command)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    status, output, errors = run(*command)
    assert status == 0
    assert "3/3 c.png" in output + errors
    assert "left" in output + errors


def test_views_of_a_dual_pixel_sensor(run: Run, project: Path) -> None:
    two_views = {"inp_channels": 6, "dual_pixel_task": True}
    settings = network(changes=True).settings.model_copy(update=two_views)
    save_model(EAMamba(settings), project / "dual.safetensors")
    (project / "R").mkdir()
    for name in ("L/a.png", "L/b.png", "R/a.png"):
        picture(project / name)
    status, _, errors = run("restore", "L", "-w", "dual.safetensors", "--right", "R", "-o", "out")
    assert status == 2
    assert "b.png: no image of this name in --right R" in one_error(errors)
    options = ("-w", "dual.safetensors", "--right", "R/a.png", "-o", "out/")
    assert run("restore", "L/a.png", *options)[0] == 0
    assert files(project / "out") == ["a.png"]


def test_comparison_with_the_truth(run: Run, project: Path, changing: tuple[str, str]) -> None:
    source = picture(project / "in/a.png", 40, 60)
    (project / "truth").mkdir()
    write_image(project / "truth/A.tif", read_image(source))
    options = (*changing, "-o", "out", "--truth", "truth", "--compare")
    status, output, errors = run("restore", "in", *options, "--json")
    assert (status, errors) == (0, "")
    photo = json.loads(output.splitlines()[1])
    assert photo["comparison"] == "out/compare/a.png"
    assert 0 < photo["scores"]["psnr_db"] < 99
    height, width = read_photo("out/compare/a.png").rgb.shape[1:]
    assert width == 3 * 480 + 2 * 8  # the input, the restored photo, the truth
    assert height > 480
    picture(project / "in/b.png")
    status, _, errors = run("restore", "in", *options)
    assert status == 2
    assert "b.png: no image of this name in --truth truth" in one_error(errors)
    status, _, errors = run("restore", "in/b.png", *changing, "-o", "b.png", "--truth", source)
    assert status == 2
    assert "ground truth of 60×40 pixels; expected 12×9" in one_error(errors)
    assert not (project / "b.png").exists()


def test_details_are_where_something_changes() -> None:
    before = torch.zeros(3, 200, 300)
    after = before.clone()
    after[:, 100:140:2, 220:260] = 0.5
    (top, left, side), *_ = interesting_boxes(before, after)
    assert top <= 100 <= 140 <= top + side
    assert left <= 220 <= 260 <= left + side
    dots = torch.ones(3, 1, 1), torch.zeros(3, 1, 1)
    assert interesting_boxes(*dots) == [(0, 0, 1)]


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_automatic_precision_is_timed_once(
    run: Run,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    changing: tuple[str, str],
    faster: str,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    timed = []

    def seconds(model: torch.nn.Module, _: EAMamba) -> float:
        timed.append(type(model).__name__)
        return 1.0 if (type(model) is EAMamba) == (faster == "float32") else 2.0

    monkeypatch.setattr(precision, "_seconds", seconds)
    source = picture(project / "a.png", 16, 16, bits=16)
    options = (*changing, "--precision", "auto", "-o", "auto.png")
    for _ in range(2):
        status, output, _ = run("restore", source, *options)
        assert status == 0
        assert ("computing in bfloat16" in output) == (faster == "bfloat16")
    assert timed == ["EAMamba", "InBfloat16"]
    assert run("restore", source, *changing, "--precision", faster, "-o", "fixed.png")[0] == 0
    assert torch.equal(read_image("auto.png"), read_image("fixed.png"))
    (paths.user_cache() / "precision.json").write_text("damaged")
    assert run("restore", source, *options)[0] == 0


def test_bfloat16_changes_little(run: Run, project: Path, changing: tuple[str, str]) -> None:
    source = picture(project / "a.png", 24, 24, bits=16)
    for name in ("float32", "bfloat16"):
        arguments = (*changing, "--precision", name, "-o", f"{name}.png")
        assert run("restore", source, *arguments)[0] == 0
    difference = (read_image("float32.png") - read_image("bfloat16.png")).abs()
    assert 0 < float(difference.mean()) < 0.01


def test_processes_share_the_photos(
    run: Run, project: Path, changing: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        picture(project / f"in/{number}.png", 40, 24 + number)
    assert run("restore", "in", *changing, "-o", "alone")[0] == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    restored = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        status, output, errors = run("restore", "in", *changing, "-o", "together")
        assert (status, errors) == (0, "")
        restored.append(output.count("written to"))
        assert ("weights: " in output) == (rank == 0)
    assert restored == [2, 1]
    for number in range(3):
        alone, together = (project / folder / f"{number}.png" for folder in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()
