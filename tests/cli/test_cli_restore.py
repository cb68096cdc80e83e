"""``eamamba restore`` on good files: what comes in comes out, restored."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_files import ALPHA, SCAN, files, network, one_error, picture
from image_files import camera_exif
from PIL import Image

from eamamba import paths
from eamamba.checkpoint import save_model
from eamamba.config import EAMambaSRSettings
from eamamba.images import read_photo
from eamamba.network import EAMamba, EAMambaSR

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
@pytest.mark.parametrize("options", [["--tile", 16], ["--self-ensemble", 8], ["--device", "cpu"]])
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
@pytest.mark.parametrize("out", ["new/folder", "existing", "new.v2/", "new.v2", "photo.png/"])
def test_a_folder_keeps_the_names(run: Run, project: Path, out: str) -> None:
    (project / "existing").mkdir()
    picture(project / "in/a.png")
    picture(project / "in/b.jpg")
    (project / "in/notes.txt").write_text("no photo")
    single = picture(project / "c.png")
    status, output, _ = run("restore", "in", single, "-t", "denoise_gaussian", "-o", out)
    assert status == 0
    assert files(project / out) == ["a.png", "b.jpg", "c.png"]
    assert len(output.splitlines()) == 1 + 3 + 1
    assert run("restore", single, "-t", "denoise_gaussian", "-o", out)[0] == 0


@pytest.mark.usefixtures("weights")
def test_formats_that_cannot_be_written_become_png(run: Run, project: Path) -> None:
    image = Image.new("RGB", (5, 3), "red")
    for name in ("a.gif", "b.ppm", "c.jfif"):
        image.save(project / name)
    photos = ["a.gif", "b.ppm", "c.jfif"]
    status, _, _ = run("restore", *photos, "-t", "denoise_gaussian", "-o", "out")
    assert status == 0
    assert files(project / "out") == ["a.png", "b.png", "c.jfif"]


def test_inputs_are_replaced_on_demand(run: Run, project: Path) -> None:
    save_model(network(changes=True), project / "w.safetensors")
    source = picture(project / "a.png")
    before = source.read_bytes()
    assert run("restore", "a.png", "-w", "w.safetensors", "-o", ".", "--overwrite")[0] == 0
    assert source.read_bytes() != before
    read_photo(source)


DENOISE = ("-t", "denoise_gaussian", "-o")


@pytest.mark.usefixtures("weights")
def test_one_photo_goes_into_a_new_folder_of_any_name(run: Run, project: Path) -> None:
    picture(project / "a.png")
    for out in ("dir.v2", "2024.01.31", "final.old"):
        assert run("restore", "a.png", *DENOISE, out)[0] == 0
        assert files(project / out) == ["a.png"]


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("length", [217, 255])
def test_names_as_long_as_the_file_system_allows(run: Run, project: Path, length: int) -> None:
    source = picture(project / ("x" * (length - 4) + ".png"))
    assert run("restore", source, *DENOISE, "out")[0] == 0
    assert files(project / "out") == [source.name]
    assert run("restore", source, *DENOISE, source.name, "--overwrite")[0] == 0


@pytest.mark.usefixtures("weights")
def test_a_replaced_photo_keeps_its_permissions(run: Run, project: Path) -> None:
    source = picture(project / "a.png")
    source.chmod(0o600)
    assert run("restore", "a.png", *DENOISE, ".", "--overwrite")[0] == 0
    assert stat.S_IMODE(source.stat().st_mode) == 0o600


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_pages_are_never_lost(run: Run, project: Path, suffix: str) -> None:
    pages = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green", "blue")]
    source = project / f"a.{suffix}"
    pages[0].save(source, save_all=True, append_images=pages[1:])
    before = source.read_bytes()
    status, _, errors = run("restore", source, *DENOISE, ".", "--overwrite")
    assert status == 2
    assert "several pages or frames, expected one; split it" in one_error(errors)
    assert source.read_bytes() == before


@pytest.mark.usefixtures("weights")
def test_pictures_behind_the_first_are_never_replaced(run: Run, project: Path) -> None:
    views = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green")]
    views[0].save(project / "a.jpg", format="MPO", save_all=True, append_images=views[1:])
    before = (project / "a.jpg").read_bytes()
    status, _, errors = run("restore", "a.jpg", *DENOISE, ".", "--overwrite")
    assert status == 2
    assert "would replace 2 pictures in one file with the first" in one_error(errors)
    assert (project / "a.jpg").read_bytes() == before
    status, output, _ = run("restore", "a.jpg", *DENOISE, "out.png")
    assert status == 0
    assert "written to out.png (first of 2 pictures in the file)" in output


@pytest.mark.usefixtures("weights")
def test_a_camera_jpeg_becomes_a_tiff_file(run: Run, project: Path) -> None:
    image = Image.new("RGB", (12, 9), "red")
    image.save(project / "a.jpg", exif=camera_exif(orientation=6), dpi=(300, 300))
    assert run("restore", "a.jpg", *DENOISE, "out.tif")[0::2] == (0, "")
    after = read_photo("out.tif")
    assert (after.rgb.shape, after.dpi) == ((3, 12, 9), (300, 300))
    assert b"maker's note" in (after.exif or b"")


@pytest.mark.parametrize("out", ["out.jpg", "out.bmp"])
def test_what_cannot_be_held_is_told_before_the_work(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, weights: Path, out: str
) -> None:
    def compute(*_: object) -> None:
        raise AssertionError("the network was asked")

    picture(project / "clear.png", alpha=ALPHA)
    picture(project / "opaque.png", alpha=torch.ones_like(ALPHA))
    assert run("restore", "opaque.png", "-w", weights, "-o", out, "--overwrite")[0] == 0
    monkeypatch.setattr(EAMamba, "forward", compute)
    status, _, errors = run("restore", "clear.png", "-w", weights, "-o", out)
    assert status == 2
    assert "files cannot be transparent; use .png" in one_error(errors)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    for place in ("b.png", "."):
        status, _, errors = run("restore", "clear.png", "-w", weights, "-o", place, "--overwrite")
        assert status == 2
        assert "cannot write the file (Permission denied)" in one_error(errors)


@pytest.mark.usefixtures("weights")
def test_warnings_of_pillow_are_not_shown(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(project / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9 * 12 - 1)
    assert run("restore", "a.png", *DENOISE, "out.png")[0::2] == (0, "")


@pytest.mark.usefixtures("weights")
def test_a_name_that_cannot_be_looked_up_does_not_lose_the_others(run: Run, project: Path) -> None:
    picture(project / "a.png")
    name = "x" * 300 + ".png"
    status, _, errors = run("restore", name, "a.png", *DENOISE, "out")
    assert status == 2
    assert f"{name}: cannot be read (File name too long)" in one_error(errors)
    assert files(project / "out") == ["a.png"]
