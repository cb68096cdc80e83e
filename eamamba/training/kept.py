"""The weights that a training writes, all of them averages: final, best and recent ones."""

from __future__ import annotations

from pathlib import Path

from eamamba.checkpoint import save_model
from eamamba.files import remove_leftovers
from eamamba.training.record import record
from eamamba.training.states import States
from eamamba.training.trainer import Trainer

BEST_FILE = "best.safetensors"


def save_average(trainer: Trainer, states: States, name: str, **facts: object) -> Path:
    """Write the average of the weights, with a record of the training and more facts if any."""
    path = states.folder / name
    extra = record(states.settings, trainer.iteration, states.data) | facts
    save_model(trainer.averaged, path, task=states.settings.task, extra=extra)
    return path


def save_snapshot(trainer: Trainer, states: States) -> None:
    """Write ``model.ITERATION.safetensors``, and remove all but the last ``training.keep_last``."""
    name = f"model.{trainer.iteration}.safetensors"
    remove_leftovers(states.folder / name)  # of a run that was killed here
    save_average(trainer, states, name)
    for old in snapshots(states.folder)[: -trainer.settings.keep_last]:
        old.unlink()


def snapshots(folder: Path) -> list[Path]:
    """Return the files of `save_snapshot`, the oldest first."""
    found = {path: path.name.split(".")[1] for path in folder.glob("model.*.safetensors")}
    numbered = (path for path, number in found.items() if number.isdecimal())
    return sorted(numbered, key=lambda path: int(found[path]))
