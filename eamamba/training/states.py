"""The states of an unfinished training on disk: the last two, and a batch that made it diverge."""

from __future__ import annotations

import io
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eamamba.config import SettingsError, TaskSettings, TrainingSettings, validate
from eamamba.files import remove_leftovers, write_atomically
from eamamba.training.errors import NotFiniteError, TrainingError
from eamamba.training.record import decisive, flat
from eamamba.training.trainer import Trainer

STATE_FILE = "training_state.pt"
PREVIOUS_STATE_FILE = "training_state.previous.pt"
BATCH_FILE = "diverged_batch.pt"
_DIFFERENCES_SHOWN = 3


class States:
    """Keeps the last two states of a training; the older one is used if the newer is damaged.

    Parameters
    ----------
    folder : Path
        Folder of the training's results.
    settings : TaskSettings
    data : str
        Hash of the training set (`eamamba.training.record.data_hash`).
    """

    def __init__(self, folder: Path, settings: TaskSettings, data: str) -> None:
        self.folder, self.settings, self.data = folder, settings, data
        self.latest = folder / STATE_FILE
        self._previous = folder / PREVIOUS_STATE_FILE
        self._batch = folder / BATCH_FILE
        self._own = False  # whether the state on disk belongs to this training

    @property
    def exist(self) -> bool:
        """Whether there is anything to resume from."""
        return self.latest.is_file() or self._previous.is_file()

    def save(self, trainer: Trainer) -> None:
        """Write the newest state; the previous one is kept.

        Raises
        ------
        NotFiniteError
            If a weight is NaN or infinite; the states on disk are left unchanged.
        """
        trainer.check_finite()
        if not trainer.accelerator.is_main_process:
            return
        settings = self.settings.model_dump(mode="json")
        state = {"settings": settings, "data": self.data} | trainer.state_dict()
        write_atomically(self.latest, _bytes(state), self._previous if self._own else None)
        if not self._own:
            self._previous.unlink(missing_ok=True)
        self._own = True

    def load(self, trainer: Trainer) -> dict[str, Any]:
        """Resume from the newest state that can be read, and return it.

        Raises
        ------
        SettingsError
            If the states belong to a training with other settings or data.
        TrainingError
            If none of them can be read.
        """
        problems = []
        for path in (self.latest, self._previous):
            if not path.is_file():
                continue
            try:
                state = self._load(trainer, path)
            except _DamagedError as error:
                problems.append(str(error))
                continue
            if problems:
                warnings.warn(f"{'; '.join(problems)}; resuming from {path.name}", stacklevel=2)
            if path != self.latest:
                os.replace(path, self.latest)
            self._own = True
            return state
        raise TrainingError(f"{'; '.join(problems)}; delete it, or start over with --fresh")

    def _load(self, trainer: Trainer, path: Path) -> dict[str, Any]:
        state = _read(path)
        self._compare(path, state)
        try:
            trainer.load_state_dict(state)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise _DamagedError(f"{path}: not a complete training state ({reason})") from None
        return state

    def _compare(self, path: Path, state: dict[str, Any]) -> None:
        """Refuse a state with other settings or other data; older files do not record the data."""
        theirs = state["settings"]
        try:  # settings missing in the file have their default value
            theirs = validate(TaskSettings, theirs, path.name).model_dump(mode="json")
        except SettingsError:
            pass
        there, here = (
            flat(decisive(values)) for values in (theirs, self.settings.model_dump(mode="json"))
        )
        names = [name for name in sorted(there.keys() | here) if there.get(name) != here.get(name)]
        if "data" in state:  # compare the images, wherever they are
            names = [name for name in names if not name.startswith("data.training_set.")]
        advice = "or start over with --fresh (or delete the file)"
        if names:
            shown = [f"{n} {there.get(n)} there, {here.get(n)} now" for n in names]
            more = f" and {len(names) - _DIFFERENCES_SHOWN} more"
            text = "; ".join(shown[:_DIFFERENCES_SHOWN]) + more * (len(names) > _DIFFERENCES_SHOWN)
            raise SettingsError(
                f"{path}: an interrupted training with other settings ({text}); finish it with "
                f"those, {advice}"
            )
        if state.get("data", self.data) != self.data:
            raise SettingsError(
                f"{path}: an interrupted training with other images: those of the training set "
                f"have changed since; restore them, {advice}"
            )

    def keep_diverged(
        self, trainer: Trainer, error: NotFiniteError, iteration: int, batch: tuple[Tensor, Tensor]
    ) -> TrainingError:
        """Save the batch of a step that diverged, on the CPU, and return the error to raise.

        The states on disk are kept, because finite losses followed them. If there is none yet, the
        weights before the step are saved as one.
        """
        if trainer.accelerator.is_main_process:
            kept = {"iteration": iteration, "degraded": batch[0], "clean": batch[1]}
            write_atomically(self._batch, _bytes(kept))
        what = "the last good state"
        if not self._own and not error.changed_weights and trainer.iteration:
            what = "the state before that step"
            with suppress(NotFiniteError):
                self.save(trainer)
        last = "none" if trainer.last_loss is None else f"{trainer.last_loss:.4g}"
        state = f", {what} in {self.latest}" if self._own else ""
        return TrainingError(
            f"{self.settings.task}: diverged at iteration {iteration}: {error}; last finite loss "
            f"{last}; {_advice(trainer.settings, batch)}; no weights written; "
            f"the batch is kept in {self._batch}{state}"
        )

    def remove_leftovers(self) -> None:
        """Remove temporary files of writes that were killed."""
        for path in (self.latest, self._batch):
            remove_leftovers(path)

    def remove(self) -> None:
        """Remove all states, once the weights are written."""
        for path in (self.latest, self._previous, self._batch):
            path.unlink(missing_ok=True)


class _DamagedError(Exception):
    """A state cannot be used."""


def _advice(recipe: TrainingSettings, batch: tuple[Tensor, Tensor]) -> str:
    if not all(bool(torch.isfinite(images).all()) for images in batch):
        return "its images hold NaN or infinite values: fix them"
    wider = ", or set training.precision to bf16 or float32," * (recipe.precision == "fp16")
    return (
        f"lower training.learning_rate (now {recipe.learning_rate:g}) or "
        f"training.clip_gradient_norm (now {recipe.clip_gradient_norm:g}){wider} "
        "and start with --fresh"
    )


def _bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _read(path: Path) -> dict[str, Any]:
    if not path.stat().st_size:
        raise _DamagedError(f"{path}: the file is empty; expected a training state")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # torch raises many types here, and documents only some
        raise _DamagedError(f"{path}: not a readable training state") from None
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise _DamagedError(f"{path}: not a training state: no settings in it")
    return state
