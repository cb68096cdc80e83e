"""What an interrupted training resumes from, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import shaded_picture
from tiny_training import FINISHED, names, tiny

from eamamba.checkpoint import read_header
from eamamba.config import SettingsError, TaskSettings
from eamamba.images import write_image
from eamamba.training import STATE_FILE, TrainingError, train
from eamamba.training.states import PREVIOUS_STATE_FILE


def interrupted(folder: Path, settings: TaskSettings | None = None) -> Path:
    """Leave a training of which one step is done; return its state."""
    assert train(settings or tiny(), folder, progress=False, time_limit_s=0) is None
    return folder / STATE_FILE


def test_resuming_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(tmp_path)
    train(tiny(), tmp_path)
    assert "Resuming from iteration 1\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-4}, r"training\.learning_rate 0\.001 there, 0\.0001 now"),
        ({"seed": 3}, r"training\.seed 0 there, 3 now"),
        ({"data": {"sigma_255": (0.0, 25.0)}}, r"data\.sigma_255 \[0\.0, 50\.0\] there"),
        (
            {"seed": 3, "ema_decay": 0.1, "weight_decay": 0.1, "clip_gradient_norm": 1.0},
            r"training\.clip_gradient_norm .*ema_decay .*training\.seed .* and 1 more",
        ),
    ],
)
def test_the_setting_that_differs_is_named(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    interrupted(tmp_path)
    with pytest.raises(SettingsError, match=f"other settings .*{named}.*--fresh"):
        train(tiny(**change), tmp_path, progress=False)


def test_settings_without_effect_may_change(tmp_path: Path) -> None:
    whole = train(tiny(), tmp_path / "whole", progress=False)
    interrupted(tmp_path / "parts")
    free = {"workers": 1, "benchmarks": {"others": "bundled"}, "held_out_size": 32}
    watched = {"keep_last": 1, "validate_every": 4, "validation_images": 1}
    other = tiny(data=free, log_every=3, checkpoint_every=5, **watched)
    protocol = other.evaluation.model_copy(update={"sigmas_255": (5.0,)})
    other = other.model_copy(update={"evaluation": protocol, "profile": "laptop", "title": "t"})
    parts = train(other, tmp_path / "parts", progress=False)
    assert whole is not None
    assert parts is not None
    first, second = (read_header(path)["extra"] for path in (whole, parts))
    assert first.pop("profile") != second.pop("profile")
    assert first == second
    assert whole.read_bytes()[-4096:] == parts.read_bytes()[-4096:]


def photographs(folder: Path, count: int = 2) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        write_image(folder / f"{number}.png", shaded_picture().roll(number, -1))
    return {"training_set": {"photos": str(folder)}}


def paired(folder: Path) -> dict[str, Any]:
    for side in ("input", "target"):
        photographs(folder / side)
    return {"layout": "pairs", "training_set": {"training": str(folder)}}


@pytest.mark.parametrize("kind", ["photographs", "pairs"])
@pytest.mark.parametrize("change", ["content", "name", "another"])
def test_changed_images_are_noticed(tmp_path: Path, kind: str, change: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    data = photographs(images) if kind == "photographs" else paired(images)
    interrupted(tmp_path / "out", tiny(data=data))
    sides = [images] if kind == "photographs" else [images / "input", images / "target"]
    for side in sides:
        if change == "content":
            write_image(side / "1.png", shaded_picture().flip(-1))
        elif change == "name":
            (side / "1.png").rename(side / "0a.png")
        else:
            write_image(side / "2.png", shaded_picture())
    with pytest.raises(SettingsError, match=r"other images.*--fresh"):
        train(tiny(data=data), tmp_path / "out", progress=False)


def test_images_may_move(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", tiny(data=photographs(tmp_path / "a")))
    for path in (tmp_path / "a").iterdir():
        path.touch()
    (tmp_path / "a").rename(tmp_path / "b")
    data = {"training_set": {"photos": str(tmp_path / "b")}}
    assert train(tiny(data=data), tmp_path / "out", progress=False) is not None


def test_state_of_the_first_version_resumes(tmp_path: Path) -> None:
    state = interrupted(tmp_path)
    content = torch.load(state)
    del content["data"], content["settings"]["training"]["halved_at"]  # now the usual value
    torch.save(content, state)
    assert train(tiny(), tmp_path, progress=False) is not None


DAMAGED = {
    "empty": (b"", "the file is empty"),
    "random": (bytes(range(256)) * 9, "not a readable training state"),
    "text": (b"hello world\n", "not a readable training state"),
    "cut": (None, "not a readable training state"),
    "other": ({"a": torch.ones(1)}, "no settings in it"),
    "half": ({"settings": tiny().model_dump(mode="json")}, "not a complete training state"),
    "list": ([1, 2], "no settings in it"),
}


def damage(state: Path, kind: str) -> None:
    content: Any = DAMAGED[kind][0]
    if content is None:
        content = state.read_bytes()[: state.stat().st_size // 2]
    if isinstance(content, bytes):
        state.write_bytes(content)
    else:
        torch.save(content, state)


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_state_is_one_line(tmp_path: Path, kind: str) -> None:
    state = interrupted(tmp_path)
    damage(state, kind)
    with pytest.raises(TrainingError, match=rf"{DAMAGED[kind][1]}.*--fresh") as raised:
        train(tiny(), tmp_path, progress=False)
    assert str(state) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["empty", "random", "half", "missing"])
def test_the_state_before_a_damaged_one_resumes(tmp_path: Path, kind: str) -> None:
    whole = train(tiny(), tmp_path / "whole", progress=False)
    state = interrupted(tmp_path / "parts")
    assert train(tiny(), tmp_path / "parts", progress=False, time_limit_s=0) is None
    assert names(tmp_path / "parts") >= {STATE_FILE, PREVIOUS_STATE_FILE}
    if kind == "missing":  # killed just between the two renamings
        state.unlink()
        parts = train(tiny(), tmp_path / "parts", progress=False)
    else:
        damage(state, kind)
        with pytest.warns(UserWarning, match=f"resuming from {PREVIOUS_STATE_FILE}"):
            parts = train(tiny(), tmp_path / "parts", progress=False)
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    assert names(tmp_path / "parts") == FINISHED


def test_weights_tell_of_their_training(tmp_path: Path) -> None:
    path = train(tiny(seed=7), tmp_path, progress=False)
    assert path is not None
    extra = read_header(path)["extra"]
    assert extra["data"]["training_set"] == {"training": "bundled"}
    assert len(extra["data"]["sha256"]) == 64
    assert (extra["seed"], extra["recipe"]["learning_rate"]) == (7, 1e-3)
    assert set(extra["versions"]) == {"eamamba", "python", "torch", "numpy"}
    assert extra["iterations"] == 6
