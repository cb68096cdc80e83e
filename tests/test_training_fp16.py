"""Training in fp16, on the CPU with the scaler that accelerate gives to GPUs only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny_training import CURVE, at_iteration, contents, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from eamamba.config import SettingsError
from eamamba.network import build
from eamamba.training import STATE_FILE, Trainer, TrainingError, train
from eamamba.training.memory import needed_bytes

Scaling = Callable[[float], Accelerator]
SETTINGS = tiny(8, precision="fp16")
USUAL_SCALE = 2.0**16


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scaling]:
    """Return a function that lets trainings run in fp16 on the CPU, from some scale on."""

    def in_fp16(scale: float) -> Accelerator:
        AcceleratorState._reset_state(reset_partial_state=True)  # it keeps the first precision
        accelerator = Accelerator(cpu=True, mixed_precision="fp16")
        accelerator.native_amp = True
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
        return accelerator

    def begin(scale: float) -> Accelerator:
        monkeypatch.setattr("eamamba.training.run.accelerator_for", lambda *_: in_fp16(scale))
        return in_fp16(scale)

    yield begin
    AcceleratorState._reset_state(reset_partial_state=True)


def test_it_is_refused_on_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="fp16 needs a GPU; use bf16 or float32 on the CPU"):
        train(SETTINGS, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_it_is_planned_like_bf16() -> None:
    fp16, bf16 = (needed_bytes(tiny(precision=name), 32, 1, 0) for name in ("fp16", "bf16"))
    assert fp16 == bf16 < needed_bytes(tiny(), 32, 1, 0)


class Types(TorchDispatchMode):
    """Notes the types that operators compute in."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        found = {one.dtype for one in args if isinstance(one, torch.Tensor)}
        self.seen.setdefault(func.overloadpacket.__name__, set()).update(found)
        return func(*args, **(kwargs or {}))


def test_products_are_in_16_bits_and_the_scan_is_not(scaling: Scaling) -> None:
    trainer = Trainer(build(SETTINGS.model), SETTINGS.training, scaling(USUAL_SCALE))
    with Types() as types:
        trainer.step(*torch.rand(2, 1, 3, 16, 16))
    assert types.seen["convolution"] == {torch.float16}
    for name in ("selective_scan", "selective_scan_backward"):
        assert {kind for kind in types.seen[name] if kind.is_floating_point} == {torch.float32}
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.float32}


def test_a_step_that_overflows_is_skipped(scaling: Scaling) -> None:
    trainer = Trainer(build(SETTINGS.model), SETTINGS.training, scaling(2.0**40))
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    batch = torch.rand(2, 1, 3, 16, 16)
    skipped = 0
    while trainer.schedule.last_epoch == 0:
        trainer.step(*batch)
        if trainer.optimizer.step_was_skipped:
            skipped += 1
            for network in (trainer.model, trainer.averaged):
                for name, weight in network.state_dict().items():
                    assert torch.equal(weight, before[name]), name
    assert 0 < skipped < 40
    assert trainer.iteration == skipped + 1
    assert trainer.accelerator.scaler.get_scale() == 2.0 ** (40 - skipped)
    assert not torch.equal(trainer.model.output.weight, before["output.weight"])


def test_scale_resumes(scaling: Scaling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaling(2.0**26)
    settings = tiny(14, precision="fp16", log_every=1)
    train(settings, tmp_path / "whole", progress=False)
    with monkeypatch.context() as disturbed:
        at_iteration(disturbed, 12, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(settings, tmp_path / "parts", progress=False)
    scaler = torch.load(tmp_path / "parts" / STATE_FILE)["scaler"]
    assert scaler["scale"] != 2.0**26
    train(settings, tmp_path / "parts", progress=False)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    norms = pd.read_csv(tmp_path / "whole" / CURVE)["gradient_norm"]
    assert not norms.iloc[0] < float("inf")  # skipped
    assert norms.iloc[-1] < float("inf")


def test_gradients_that_never_recover_are_a_divergence(
    scaling: Scaling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaling(4.0)

    def spoil(trainer: Trainer) -> None:
        weight = next(trainer.model.parameters())
        weight.register_hook(lambda gradient: gradient * float("nan"))

    at_iteration(monkeypatch, 2, spoil)
    # skipped at the scales 4, 2 and 1
    with pytest.raises(
        TrainingError, match=r"iteration 5: the gradient norm became nan; .* bf16 or float32"
    ):
        train(SETTINGS, tmp_path, progress=False)
    assert torch.load(tmp_path / STATE_FILE)["iteration"] == 4


def test_a_loss_that_is_no_number_is_a_divergence(
    scaling: Scaling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaling(USUAL_SCALE)

    def spoil(trainer: Trainer) -> None:
        torch.nn.init.constant_(trainer.model.output.weight, float("inf"))

    at_iteration(monkeypatch, 2, spoil)
    with pytest.raises(TrainingError, match="iteration 2: the loss became"):
        train(SETTINGS, tmp_path, progress=False)
