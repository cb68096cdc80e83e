"""An interrupted evaluation keeps its scores, and ends as one that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import scipy.io
import torch
from forked_training import free_port, launched
from torch import Tensor, nn

from eamamba.checkpoint import save_model
from eamamba.config import TaskSettings, load_settings
from eamamba.datasets import bundled_photographs
from eamamba.evaluation import Cases, evaluate, score_share
from eamamba.evaluation.unfinished import FILE
from eamamba.images import write_image
from eamamba.network import build

ROOT = Path(__file__).parents[1]


class Fading(nn.Module):
    """Darkens its input, counts its calls, and is interrupted at one of them."""

    size_multiple, upscale = 8, 1

    def __init__(self, interrupted_at: int = 0, share: float = 0.9) -> None:
        super().__init__()
        self.share = nn.Parameter(Tensor([share]), requires_grad=False)
        self.calls, self.interrupted_at = 0, interrupted_at

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.interrupted_at:
            raise KeyboardInterrupt
        return image * self.share


@pytest.fixture
def settings(tmp_path: Path) -> TaskSettings:
    """A test on two small pictures under three conditions."""
    image = bundled_photographs("held_out")["coffee"]
    (tmp_path / "images").mkdir()
    for number in range(2):
        write_image(tmp_path / f"images/{number}.png", image[:, 40 * number :][:, :24, 80:112])
    found = load_settings(ROOT / "params.yaml", "smoke").task("denoise_gaussian")
    places = {"mine": str(tmp_path / "images")}
    return found.model_copy(update={"data": found.data.model_copy(update={"benchmarks": places})})


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt(settings: TaskSettings, folder: Path) -> Path:
    """Evaluate four of six cases, and return the file that keeps their scores."""
    with pytest.raises(KeyboardInterrupt):
        evaluate(Fading(interrupted_at=5), settings, folder, resume=True, progress=False)
    assert [path.name for path in folder.iterdir()] == [FILE]
    return folder / FILE


def test_the_number_of_cases_is_known_beforehand(settings: TaskSettings) -> None:
    cases = Cases(settings)
    assert len(cases) == len(list(cases)) == 6


def test_resumed_results_are_the_same_to_the_byte(settings: TaskSettings, tmp_path: Path) -> None:
    evaluate(Fading(), settings, tmp_path / "whole", progress=False)
    file = interrupt(settings, tmp_path / "parts")
    assert len(file.read_text().splitlines()) == 1 + 4
    model = Fading()
    evaluate(model, settings, tmp_path / "parts", resume=True, progress=False)
    assert model.calls == 2
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


@pytest.mark.parametrize(
    ("spoil", "calls"),
    [
        (lambda text: text[:-9], 3),  # killed while it wrote the last line
        (lambda text: text.replace(",", ";"), 6),
        (lambda _: "", 6),
        (lambda text: text.replace("0", "x"), 6),
    ],
)
def test_what_cannot_be_read_is_measured_again(
    spoil: Callable[[str], str], calls: int, settings: TaskSettings, tmp_path: Path
) -> None:
    evaluate(Fading(), settings, tmp_path / "whole", progress=False)
    file = interrupt(settings, tmp_path / "parts")
    file.write_text(spoil(file.read_text()))
    model = Fading()
    evaluate(model, settings, tmp_path / "parts", resume=True, progress=False)
    assert model.calls == calls
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_other_weights_and_protocols_are_measured_anew(
    settings: TaskSettings, tmp_path: Path
) -> None:
    protocol = settings.evaluation.protocol.model_copy(update={"colour": "y"})
    evaluation = settings.evaluation.model_copy(update={"protocol": protocol})
    other = settings.model_copy(update={"evaluation": evaluation})
    for name, share, tested in (("weights", 0.8, settings), ("protocol", 0.9, other)):
        model, folder = Fading(share=share), tmp_path / name
        interrupt(settings, folder)
        evaluate(model, tested, folder, resume=True, progress=False)
        assert model.calls == 6, name


def test_a_changed_image_is_measured_anew(settings: TaskSettings, tmp_path: Path) -> None:
    interrupt(settings, tmp_path / "parts")
    changed = bundled_photographs("held_out")["coffee"][:, :24, :32]
    write_image(tmp_path / "images/0.png", changed)
    model = Fading()
    evaluate(model, settings, tmp_path / "parts", resume=True, progress=False)
    assert model.calls == 3 + 2


def test_several_processes_give_the_same_bytes(settings: TaskSettings, tmp_path: Path) -> None:
    evaluate(Fading(), settings, tmp_path / "whole", progress=False)
    shares = [Fading() for _ in range(3)]
    for number, model in enumerate(shares):
        score_share(model, settings, tmp_path / "parts", number, 3)
    assert [model.calls for model in shares] == [2, 2, 2]
    model = Fading()
    evaluate(model, settings, tmp_path / "parts", resume=True, progress=False)
    assert model.calls == 0
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_the_share_of_a_lost_process_is_made_up_for(settings: TaskSettings, tmp_path: Path) -> None:
    evaluate(Fading(), settings, tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        score_share(Fading(interrupted_at=2), settings, tmp_path / "parts", 1, 2)
    score_share(Fading(), settings, tmp_path / "parts", 0, 2)
    model = Fading()
    evaluate(model, settings, tmp_path / "parts", resume=True, progress=False)
    assert model.calls == 2
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def exported(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def blocks(tmp_path: Path, settings: TaskSettings) -> TaskSettings:
    """A test on the blocks of two scenes."""
    image = bundled_photographs("held_out")["coffee"].mul(255).byte().numpy()
    scenes = image[:, :48, :64].reshape(3, 2, 24, 2, 32).transpose(1, 3, 2, 4, 0)
    (tmp_path / "scenes").mkdir()
    for name in ("Noisy", "Gt"):
        variable = f"Validation{name}BlocksSrgb"
        scipy.io.savemat(tmp_path / f"scenes/{variable}.mat", {variable: scenes})
    changes = {"layout": "sidd", "benchmarks": {"SIDD": str(tmp_path / "scenes")}}
    changes |= {"degradation": "sensor_noise"}
    return settings.model_copy(update={"data": settings.data.model_copy(update=changes)})


@pytest.mark.parametrize(("layout", "count"), [("settings", 6), ("blocks", 4)])
def test_exported_images_are_shared_among_processes_too(
    layout: str, count: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tested: TaskSettings = request.getfixturevalue(layout)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    evaluate(Fading(), tested, whole, export=whole / "export", progress=False)
    with pytest.raises(KeyboardInterrupt):
        score_share(Fading(interrupted_at=2), tested, parts, 1, 2, export=parts / "export")
    shares = [Fading() for _ in range(2)]
    for number, model in enumerate(shares):
        score_share(model, tested, parts, number, 2, export=parts / "export")
    assert [model.calls for model in shares] == [count // 2, count // 2 - 1]
    model = Fading()
    evaluate(model, tested, parts, export=parts / "export", resume=True, progress=False)
    assert model.calls == 0
    assert len(exported(parts)) == 2 + (1 if layout == "blocks" else count)
    assert exported(parts) == exported(whole)


def test_an_image_that_was_not_exported_is_restored_again(
    settings: TaskSettings, tmp_path: Path
) -> None:
    interrupt(settings, tmp_path / "parts")
    for folder, calls in (("a", 6), ("b", 6)):  # scored, but not exported, or elsewhere
        model = Fading(interrupted_at=7)
        score_share(model, settings, tmp_path / "parts", 0, 1, export=tmp_path / folder)
        assert model.calls == calls
    (tmp_path / "b/mine/sigma25/0.png").unlink()
    model = Fading()
    evaluate(
        model, settings, tmp_path / "parts", export=tmp_path / "b", resume=True, progress=False
    )
    assert model.calls == 1
    assert exported(tmp_path / "a") == exported(tmp_path / "b")


@pytest.mark.slow
def test_two_processes_of_the_command_export_what_one_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = load_settings(ROOT / "params.yaml", "smoke").task("denoise_gaussian")
    weights = tmp_path / "weights.safetensors"
    save_model(build(task.model), weights, task=task.task)
    command = [sys.executable, "-m", "eamamba", "evaluate", "denoise_gaussian", "--device", "cpu"]
    command += ["--profile", "smoke", "--weights", str(weights)]
    for count in (1, 2):
        folder, port = tmp_path / str(count), str(free_port())
        places = ["--output", str(folder), "--export", str(folder / "export")]
        together = [
            subprocess.Popen(
                [*command, *places], cwd=ROOT, env=os.environ | launched(number, count, port)
            )
            for number in range(count)
        ]
        assert [process.wait(300) for process in together] == [0] * count
    assert len(exported(tmp_path / "1/export")) == 9
    assert exported(tmp_path / "1") == exported(tmp_path / "2")
