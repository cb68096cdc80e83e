"""An interrupted evaluation keeps its scores, and ends as one that was left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from eamamba.config import TaskSettings, load_settings
from eamamba.datasets import bundled_photographs
from eamamba.evaluation import Cases, evaluate, score_share
from eamamba.evaluation.unfinished import FILE
from eamamba.images import write_image

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
