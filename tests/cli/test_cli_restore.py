"""``eamamba restore`` on good files: what comes in comes out, restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_files import ALPHA, SCAN, files, network, one_error, picture
from PIL import Image

from eamamba import paths
from eamamba.checkpoint import save_model
from eamamba.config import EAMambaSRSettings
from eamamba.images import read_photo
from eamamba.network import EAMambaSR

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("name", "facts", "mode"),
    [
        ("colour.png", {}, "RGB"),
        ("small.png", {"height": 3, "width": 5}, "RGB"),
        ("dot.png", {"height": 1, "width": 1}, "RGB"),
        ("gray.png", {"is_gray": True}, "L"),
        ("gray16.png", {"is_gray": True, "bits": 16}, "I;16"),
        ("deep.png", {"bits": 16}, None),
        ("deep.tif", {"bits": 16}, None),
        ("clear.png", {"alpha": ALPHA}, "RGBA"),
        ("clear16.png", {"alpha": ALPHA, "bits": 16}, None),
        ("profile.png", {"icc_profile": b"a profile"}, "RGB"),
        ("lossless.webp", {}, "RGB"),
    ],
)
@pytest.mark.usefixtures("weights")
def test_photos_of_every_kind_come_back(
    run: Run, project: Path, name: str, facts: dict, mode: str | None
) -> None:
    source, target = picture(project / name, **facts), project / f"restored_{name}"
    status, output, errors = run("restore", source, "--task", "denoise_gaussian", "-o", target)
    assert (status, errors) == (0, "")
    before, after = read_photo(source), read_photo(target)
    assert torch.equal(before.rgb, after.rgb)
    assert (before.alpha is None) == (after.alpha is None)
    if before.alpha is not None:
        assert torch.equal(before.alpha, after.alpha)
    kept = ("is_gray", "bits", "icc_profile")
    assert [getattr(before, k) for k in kept] == [getattr(after, k) for k in kept]
    if mode is not None:
        with Image.open(target) as image:
            assert image.mode == mode
    height, width = before.rgb.shape[1:]
    assert f"{name}: {width}×{height} pixels" in output
    assert f"written to {target}" in output


def test_gray_stays_gray_when_the_network_changes_it(run: Run, project: Path) -> None:
    save_model(network(changes=True), project / "w.safetensors")
    source = picture(project / "gray.png", is_gray=True)
    assert run("restore", source, "-w", "w.safetensors", "-o", "out.png")[0] == 0
    with Image.open("out.png") as image, Image.open(source) as original:
        assert image.mode == "L"
        assert np.abs(np.asarray(image) - np.asarray(original, dtype=float)).max() > 0


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("options", [["--tile", 16], ["--self-ensemble"], ["--device", "cpu"]])
def test_options_reach_the_network(run: Run, project: Path, options: list) -> None:
    source = picture(project / "large.png", 40, 33)
    arguments = ["-t", "denoise_gaussian", "-p", "smoke", "-o", "out.png", *options]
    assert run("restore", source, *arguments)[0] == 0
    assert torch.equal(read_photo("out.png").rgb, read_photo(source).rgb)


def test_super_resolution_enlarges(run: Run, project: Path) -> None:
    settings = EAMambaSRSettings(dim=8, num_blocks=(1,), upscale=2, mamba_cfg=SCAN)
    save_model(EAMambaSR(settings), project / "sr.safetensors")
    source = picture(project / "clear.png", alpha=ALPHA)
    status, output, _ = run("restore", source, "-w", "sr.safetensors", "-o", "out.png")
    assert status == 0
    assert "24×18 pixels" in output
    assert read_photo("out.png").alpha.shape == (1, 18, 24)


def test_weights_are_found_and_named(run: Run, project: Path, weights: Path) -> None:
    picture(project / "a.png")
    task = ("--task", "denoise_gaussian", "-o", "out.png")
    assert f"weights: {weights}" in run("restore", "a.png", *task)[1]
    shipped = paths.PRETRAINED / "denoise_gaussian.safetensors"
    save_model(network(changes=False), shipped)
    assert f"weights: {shipped}" in run("restore", "a.png", *task)[1]
    assert f"weights: {weights}" in run("restore", "a.png", *task, "--profile", "smoke")[1]
    (project / "params.yaml").unlink()  # an installed package, away from the project
    assert f"weights: {shipped}" in run("restore", "a.png", *task)[1]
    status, _, errors = run("restore", "a.png", "--task", "derain", "-o", "out.png")
    assert status == 2
    assert "known: denoise_gaussian" in one_error(errors)


@pytest.mark.filterwarnings("always::eamamba.checkpoint.CheckpointWarning")
def test_released_weights_are_used_with_a_note(run: Run, project: Path) -> None:
    model = network(changes=False)
    args = model.settings.model_dump(exclude={"architecture"}) | {"LayerNorm_type": "x"}
    content = {"model": {"name": "eamamba", "args": args, "sd_e": model.state_dict()}}
    torch.save(content, project / "released.pth")
    picture(project / "a.png")
    status, _, errors = run("restore", "a.png", "-w", "released.pth", "-o", "out.png")
    assert status == 0
    assert errors == "note: released.pth: ignored LayerNorm_type\n"


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("out", ["new/folder", "existing", "new.v2/"])
def test_a_folder_keeps_the_names(run: Run, project: Path, out: str) -> None:
    (project / "existing").mkdir()
    picture(project / "in/a.png")
    picture(project / "in/b.jpg")
    (project / "in/notes.txt").write_text("no photo")
    single = picture(project / "c.png")
    status, output, _ = run("restore", "in", single, "-t", "denoise_gaussian", "-o", out)
    assert status == 0
    assert files(project / out) == ["a.png", "b.jpg", "c.png"]
    assert len(output.splitlines()) == 1 + 3
    assert run("restore", single, "-t", "denoise_gaussian", "-o", out)[0] == 0


@pytest.mark.usefixtures("weights")
def test_formats_that_cannot_be_written_become_png(run: Run, project: Path) -> None:
    Image.new("RGB", (5, 3), "red").save(project / "a.gif")
    status, _, _ = run("restore", "a.gif", "-t", "denoise_gaussian", "-o", "out")
    assert status == 0
    assert files(project / "out") == ["a.png"]


def test_inputs_are_replaced_on_demand(run: Run, project: Path) -> None:
    save_model(network(changes=True), project / "w.safetensors")
    source = picture(project / "a.png")
    before = source.read_bytes()
    assert run("restore", "a.png", "-w", "w.safetensors", "-o", ".", "--overwrite")[0] == 0
    assert source.read_bytes() != before
    read_photo(source)
