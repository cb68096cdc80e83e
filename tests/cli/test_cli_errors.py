"""Bad input is told in one line with status 2, and never leaves half a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_files import ALPHA, PARAMS, SCAN, files, network, one_error, picture

from eamamba.checkpoint import save_model
from eamamba.config import EAMambaSettings
from eamamba.network import EAMamba

Run = Callable[..., tuple[int, str, str]]


def damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.png"
    if kind == "truncated":
        content = picture(path, 40, 40).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        path.write_text("these are words")
    elif kind == "empty":
        path.touch()
    return path


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "missing"])
def test_a_bad_photo_does_not_lose_the_others(run: Run, project: Path, kind: str) -> None:
    bad = damaged(project, kind)
    photos = [picture(project / "a.png"), bad, picture(project / "b.png")]
    status, output, errors = run("restore", *photos, "-t", "denoise_gaussian", "-o", "out")
    assert status == 2
    assert str(bad) in one_error(errors)
    assert output.count("written to") == 2
    assert files(project / "out") == ["a.png", "b.png"]
    status, output, errors = run("restore", bad, "-t", "denoise_gaussian", "-o", "alone/")
    assert status == 2
    assert str(bad) in one_error(errors)
    assert not (project / "alone").exists()


@pytest.mark.usefixtures("weights")
def test_folders_without_photos(run: Run, project: Path) -> None:
    (project / "bare").mkdir()
    picture(project / "a.png")
    for folder in ("bare", "nowhere"):
        status, _, errors = run("restore", folder, "-t", "denoise_gaussian", "-o", "out")
        assert status == 2
        assert folder in one_error(errors)
    status, _, errors = run("restore", "bare", "a.png", "-t", "denoise_gaussian", "-o", "out")
    assert status == 2
    assert "bare: no images" in one_error(errors)
    assert files(project / "out") == ["a.png"]


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("photos", "out", "message"),
    [
        (["a.png"], "nowhere/out.png", "no folder nowhere"),
        (["a.png"], "out.pgn", "cannot write files ending in '.pgn'"),
        (["a.png"], "out.gif", "cannot write files ending in '.gif'"),
        (["a.png"], "x" * 252 + ".png", "File name too long"),
        (["a.png", "b.png"], "out.png", "several photos need an output folder"),
        (["in"], "a.png", "several photos need an output folder"),
        (["a.png", "in/a.png"], "out", "would both be written to out/a.png"),
        (["a.png"], "a.png", "would replace an input photo"),
        (["a.png"], ".", "would replace an input photo"),
        (["a.png", "link.png"], "link.png/", "would"),
        (["in"], "in", "would replace an input photo"),
        (["b.png", "in"], ".", "would replace an input photo"),
    ],
)
def test_outputs_that_cannot_be(
    run: Run, project: Path, photos: list[str], out: str, message: str
) -> None:
    for name in ("a.png", "b.png", "in/a.png"):
        picture(project / name)
    (project / "link.png").symlink_to(project)
    before = {path: path.read_bytes() for path in project.rglob("*.png") if path.is_file()}
    status, output, errors = run("restore", *photos, "-t", "denoise_gaussian", "-o", out)
    assert status == 2
    assert message in one_error(errors)
    assert output == ""
    after = {path: path.read_bytes() for path in project.rglob("*.png") if path.is_file()}
    assert before == after


@pytest.mark.usefixtures("weights")
def test_what_cannot_be_written_is_told(run: Run, project: Path) -> None:
    picture(project / "clear.png", alpha=ALPHA)
    (project / "file").write_text("x")
    for out, reason in (("out.jpg", "transparent"), ("file/out/", "Not a directory")):
        status, _, errors = run("restore", "clear.png", "-t", "denoise_gaussian", "-o", out)
        assert status == 2
        assert reason in one_error(errors)
    assert files(project) == ["clear.png", "file", "params.yaml", "results"]


@pytest.mark.parametrize("moment", ["restoring", "writing"])
@pytest.mark.usefixtures("weights")
def test_interruption_leaves_whole_files(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    first, second = picture(project / "a.png"), picture(project / "b.png")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    assert run("restore", first, "-t", "denoise_gaussian", "-o", "out")[0] == 0
    where = (EAMamba, "forward") if moment == "restoring" else (os, "replace")
    monkeypatch.setattr(*where, interrupt)
    status, _, errors = run("restore", second, "-t", "denoise_gaussian", "-o", "out")
    assert status == 130
    assert errors == "interrupted; the files already written are complete\n"
    assert files(project / "out") == ["a.png"]


def test_weights_that_cannot_be_used(run: Run, project: Path) -> None:
    picture(project / "a.png")
    model = network(changes=True)
    save_model(model, project / "cut.safetensors")
    content = (project / "cut.safetensors").read_bytes()
    # the last number of the file becomes NaN, which save_model would refuse
    (project / "nan.safetensors").write_bytes(content[:-4] + b"\x00\x00\xc0\x7f")
    (project / "cut.safetensors").write_bytes(content[: len(content) // 2])
    torch.save({"model": {"name": "restormer", "args": {}}}, project / "other.pth")
    (project / "text.pth").write_text("words\n")
    dual = EAMambaSettings(
        **{"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1},
        mamba_cfg=SCAN,
        inp_channels=6,
        dual_pixel_task=True,
    )
    save_model(EAMamba(dual), project / "dual.safetensors")
    for name, reason in [
        ("nan.safetensors", "NaN"),
        ("cut.safetensors", "not a readable safetensors file"),
        ("other.pth", "holds the network 'restormer'"),
        ("text.pth", "error: text.pth: "),
        ("none.pth", "no weights file 'none.pth'"),
        ("dual.safetensors", "takes the left and the right view"),
    ]:
        status, _, errors = run("restore", "a.png", "--weights", name, "-o", "out.png")
        assert status == 2
        assert reason in one_error(errors)
    assert not (project / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--task NAME or --weights FILE"),
        (["--task", "denoise_gausian"], "did you mean 'denoise_gaussian'"),
        (["--task", "denoise_gaussian"], "train them first"),
        (["--task", "denoise_gaussian", "--profile", "lptop"], "did you mean 'laptop'"),
        (["--weights", "results", "--device", "cpu"], "is a folder"),
    ],
)
def test_choices_that_cannot_be(
    run: Run, project: Path, arguments: list[str], message: str
) -> None:
    picture(project / "a.png")
    (project / "results").mkdir()
    status, _, errors = run("restore", "a.png", "-o", "out.png", *arguments)
    assert status == 2
    assert message in one_error(errors)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x", "meta", ""])
def test_devices_that_do_not_exist(run: Run, project: Path, device: str) -> None:
    picture(project / "a.png")
    options = ["-t", "denoise_gaussian", "-o", "out.png", "--device", device]
    status, _, errors = run("restore", "a.png", *options)
    assert status == 2
    assert "--device" in one_error(errors)


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "complexity --task", "receptive-field -o x.png"]
)
def test_settings_that_cannot_be(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    status, _, errors = run(*command.split(), "denoise_gausian")
    assert status == 2
    assert "did you mean 'denoise_gaussian'" in one_error(errors)
    monkeypatch.delenv("EAMAMBA_PROFILE")
    text = PARAMS.read_text()
    (project / "params.yaml").write_text(text.replace("profile: laptop", "profile: lptop"))
    status, _, errors = run(*command.split(), "denoise_gaussian")
    assert status == 2
    assert "no profile 'lptop' (did you mean 'laptop'?)" in one_error(errors)
    status, _, errors = run(*command.split(), "denoise_gaussian", "--settings", "none.yaml")
    assert status == 2
    assert "cannot read none.yaml" in one_error(errors)
    assert files(project) == ["params.yaml"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["restor"], ["restore"], ["restore", "a.png"], ["profile", "--size", "x"], ["--hlp"],
     ["restore", "a.png", "-o", "b.png", "--tile", "8"], ["train", "a", "b"]],
)  # fmt: skip
def test_wrong_usage_has_status_2(run: Run, arguments: list[str]) -> None:
    status, output, errors = run(*arguments)
    assert status == 2
    assert "Usage" in output + errors
