"""Curves and pictures for TensorBoard: what the files say, and none of a part done again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tiny_training import CURVE, FINISHED, at_iteration, contents, names, tiny

from eamamba.training import train
from eamamba.training.board import BOARD_FOLDER
from eamamba.training.validation import VALIDATION_FILE

pytest.importorskip("tensorboard", reason='needs the extra "tensorboard"')
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

SETTINGS = tiny(data={"held_out_size": 32}, validate_every=4, validation_images=1)


def shown(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / BOARD_FOLDER))
    events.Reload()
    return events


def test_the_board_shows_what_the_tables_say(tmp_path: Path) -> None:
    train(SETTINGS, tmp_path / "with", progress=False, tensorboard=True)
    events = shown(tmp_path / "with")
    for group, name in (("training", CURVE), ("validation", VALIDATION_FILE)):
        table = pd.read_csv(tmp_path / "with" / name).set_index("iteration")
        for column, values in table.items():
            found = events.Scalars(f"{group}/{column}")
            assert [one.step for one in found] == table.index.tolist()
            assert [one.value for one in found] == pytest.approx(values.tolist(), rel=1e-5)
    assert [one.step for one in events.Images("validation/pictures")] == [4, 6]
    train(SETTINGS, tmp_path / "without", progress=False)
    before = contents(tmp_path / "without")
    assert {name: (tmp_path / "with" / name).read_bytes() for name in before} == before


def test_steps_that_are_done_again_are_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(10, checkpoint_every=4)
    with monkeypatch.context() as disturbed:
        at_iteration(disturbed, 8, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe, tmp_path, progress=False, tensorboard=True)
    train(recipe, tmp_path, progress=False, tensorboard=True)
    assert [one.step for one in shown(tmp_path).Scalars("training/loss")] == [2, 4, 6, 8, 10]
    train(tiny(), tmp_path, progress=False, tensorboard=True, resume=False)
    assert [one.step for one in shown(tmp_path).Scalars("training/loss")] == [2, 4, 6]
    assert names(tmp_path) == {*FINISHED, BOARD_FOLDER}
