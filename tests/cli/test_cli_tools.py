"""``eamamba score``, ``models`` and ``doctor``."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_files import PARAMS, network, one_error, picture

import eamamba
from eamamba import cards, paths
from eamamba.checkpoint import save_model
from eamamba.config import load_settings
from eamamba.evaluation import score
from eamamba.images import read_image, write_image, write_photo
from eamamba.images.photo import Photo

Run = Callable[..., tuple[int, str, str]]
ROOT = PARAMS.parent


@pytest.fixture
def pair(project: Path) -> tuple[Path, Path]:
    """Write a photo and a slightly darker one of the same name."""
    truth = picture(project / "truth/a.png", 40, 50)
    (project / "mine").mkdir()
    write_image(project / "mine/A.tif", read_image(truth) * 0.9)
    return project / "mine/A.tif", truth


@pytest.mark.parametrize("task", ["denoise_gaussian", "derain", "deblur_motion", "sr_light_x3"])
def test_scores_follow_the_protocol(run: Run, pair: tuple[Path, Path], task: str) -> None:
    status, output, errors = run("score", *pair, "--protocol", task, "--json")
    assert (status, errors) == (0, "")
    protocol = load_settings(PARAMS).task(task).evaluation.protocol
    expected = score(*(read_image(path) for path in pair), protocol)
    shown = json.loads(output)
    assert {name: shown[name] for name in expected} == pytest.approx(expected)
    assert (shown["colour"], shown["border"]) == (protocol.colour, protocol.border)


@pytest.mark.usefixtures("pair")
def test_folders_are_scored_with_reasons(run: Run, project: Path) -> None:
    picture(project / "mine/alone.png")
    picture(project / "mine/small.png", 20, 30)
    picture(project / "truth/small.png", 40, 60)
    status, output, errors = run("score", "mine", "truth", "-p", "derain", "--csv", "scores.csv")
    assert status == 2
    assert "mine/alone.png: no image of this name in truth" in errors
    assert "pass the image enlarged 2 times" in errors
    assert "mine/A.tif: psnr" in output
    assert "mean of 1 images" in output
    text = (project / "scores.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [bool(row["psnr_db"]) for row in rows] == [True, False, False]
    assert all(bool(row["psnr_db"]) != bool(row["problem"]) for row in rows)


@pytest.mark.parametrize(
    ("size", "bits", "reason"),
    [
        ((50, 40), 8, "rotated by 90°"),
        ((48, 56), 8, "crop the padding"),
        ((39, 51), 8, "check the pairing"),
        ((40, 50), 16, "multiply its values by 257"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(
    run: Run, project: Path, pair: tuple[Path, Path], size: tuple[int, int], bits: int, reason: str
) -> None:
    darker = 257 if bits == 16 else 1  # 8-bit values in a 16-bit file
    write_photo(
        project / "b.png", Photo(torch.linspace(0, 1 / darker, size[1]).expand(3, *size), bits=bits)
    )
    status, _, errors = run("score", "b.png", pair[1], "-p", "derain")
    assert status == 2
    assert reason in one_error(errors)


def test_scoring_needs_two_of_a_kind_and_a_task(run: Run, pair: tuple[Path, Path]) -> None:
    for arguments, reason in (
        ((pair[0], "truth", "-p", "derain"), "expected two files or two folders"),
        ((*pair, "-p", "deraim"), "did you mean 'derain'"),
        (("none.png", pair[1], "-p", "derain"), "none.png: no such file"),
    ):
        status, _, errors = run("score", *arguments)
        assert status == 2
        assert reason in one_error(errors)


def test_protocols_are_known_away_from_the_project(
    run: Run, project: Path, pair: tuple[Path, Path]
) -> None:
    (project / "params.yaml").unlink()
    assert run("score", *pair, "-p", "derain")[0] == 0


def test_models_are_listed_with_their_cards(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    status, output, errors = run("models")
    assert (status, output) == (2, "")
    assert "EAMAMBA_WEIGHTS" in one_error(errors)
    monkeypatch.setattr(paths, "PRETRAINED", ROOT / "eamamba/pretrained")
    known = cards.shipped_cards()
    status, output, _ = run("models")
    assert status == 0
    assert all(f"\n{name} " in output for name in known)
    (row,) = [line for line in output.splitlines() if line.startswith("derain ")]
    assert row.endswith(cards.gains(known["derain"], "published sets"))
    assert not row.endswith("–")
    listed = json.loads(run("models", "--json")[1])
    assert [card["name"] for card in listed] == sorted(known)
    derain = json.loads(run("models", "derain", "--json")[1])
    assert derain["sha256"] == known["derain"].sha256
    assert derain["limits"]
    assert "## Limits" in run("models", "derain")[1]
    assert "did you mean 'derain'" in one_error(run("models", "deraim")[2])


def test_weights_of_a_folder_come_before_those_of_the_package(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    places = (project / "own", paths.PRETRAINED, project / "cache/eamamba/weights")
    for name in ("a", "b", "c"):
        for folder in places["abc".index(name) :]:
            save_model(network(changes=False), folder / f"{name}.safetensors", task="derain")
    found = json.loads(run("models", "--json")[1])
    assert [card["name"] for card in found] == ["a", "b", "c"]
    monkeypatch.setenv("EAMAMBA_WEIGHTS", str(places[0]))
    picture(project / "p.png")
    for name, folder in zip("abc", places, strict=True):
        status, output, _ = run("restore", "p.png", "-t", name, "-o", "out.png")
        assert status == 0
        assert f"weights: {folder / name}.safetensors" in output


def test_other_weights_of_a_known_name_do_not_get_its_card(
    run: Run, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setenv("EAMAMBA_WEIGHTS", str(project / "own"))
    save_model(network(changes=False), project / "own/derain.safetensors", task="derain")
    card = json.loads(run("models", "derain", "--json")[1])
    assert (card["scores"], card["data"], card["task"]) == ([], [], "derain")
    shutil.copy(ROOT / "eamamba/pretrained/derain.safetensors", project / "own")
    assert json.loads(run("models", "derain", "--json")[1])["data"]


def test_doctor_examines_the_machine(run: Run) -> None:
    status, output, errors = run("doctor", "--json")
    assert (status, errors) == (0, "")
    found = {finding["what"]: finding for finding in json.loads(output)}
    assert found["torch"]["found"] == torch.__version__
    assert found["scan, cpu"]["found"] == "yes"
    assert "MAMBA_KEEP_CUDA_BUILD" in found["scan, mamba_ssm"]["advice"]
    assert {"memory", "CPU", "cache", "weights", "project"} <= found.keys()
    assert re.search(r"^scan, mamba_ssm +no$", run("doctor")[1], re.MULTILINE)


def test_a_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2", 'accelerate>=1; extra == "experiments"', "dvc>=3; extra == 'pipeline'"]
    monkeypatch.setattr("eamamba.cli.extras.requires", lambda _: lines)
    for name in [name for name in sys.modules if name.startswith("eamamba.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(eamamba, "training", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    status, _, errors = run("train", "derain", "--dry-run")
    assert status == 2
    expected = 'error: this needs accelerate: pip install "eamamba[experiments]"'
    assert one_error(errors) == expected


def test_doctor_names_the_limits_of_containers_and_shells(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eamamba.restore.limits.cgroup_bytes", lambda: [3 * 2**20, 2**20])
    monkeypatch.setattr("eamamba.restore.limits.address_space", lambda: None)
    found = {finding["what"]: finding for finding in json.loads(run("doctor", "--json")[1])}
    limit = found["container limit"]
    assert limit["found"] == "0.0 GiB free"
    assert "--tile 256" in limit["advice"]
    assert "shell limit" not in found


@pytest.mark.parametrize(
    "command",
    ["restore", "models", "score", "doctor", "train", "evaluate", "complexity", "receptive-field",
     "settings", "real-pairs", "data check"],
)  # fmt: skip
def test_every_help_has_an_example(run: Run, command: str) -> None:
    status, output, _ = run(*command.split(), "--help")
    assert status == 0
    assert f"Example: eamamba {command} " in " ".join(output.split())


def test_the_shell_completes_commands_and_names_of_weights(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "PRETRAINED", ROOT / "eamamba/pretrained")
    monkeypatch.setenv("_EAMAMBA_COMPLETE", "complete_bash")
    for words, offered in (
        ("eamamba mod", ["models"]),
        ("eamamba restore --task dera", ["derain"]),
        ("eamamba models dehaze", ["dehaze_indoor", "dehaze_outdoor"]),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run()[1].split() == offered
    monkeypatch.delenv("_EAMAMBA_COMPLETE")
    assert "--install-completion" in run("--help")[1]
