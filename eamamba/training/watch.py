"""Output of a training while it runs: curve, progress bar, checkpoints, clock."""

from __future__ import annotations

import math
import time

import pandas as pd
from tqdm import tqdm

from eamamba.config import Stage, TaskSettings
from eamamba.files import write_atomically
from eamamba.progress import bar_options
from eamamba.training.processes import Processes
from eamamba.training.states import States
from eamamba.training.trainer import Trainer, learning_rate

CURVE_FILE = "training.csv"


class Watch:
    """Logs, progress bar, checkpoints and the clock of one training run."""

    def __init__(
        self,
        trainer: Trainer,
        processes: Processes,
        settings: TaskSettings,
        states: States,
        progress: bool,
        time_limit_s: float | None,
    ) -> None:
        self.trainer, self.processes = trainer, processes
        self.settings, self.states = settings, states
        self.bar = tqdm(
            total=settings.training.iterations,
            initial=trainer.iteration,
            desc=settings.task,
            disable=not progress,
            **bar_options(seconds=1),
        )
        limit = math.inf if time_limit_s is None else time_limit_s
        self.deadline = time.monotonic() + limit

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has passed before the last step."""
        unfinished = self.trainer.iteration < self.settings.training.iterations
        return unfinished and time.monotonic() > self.deadline

    def after(self, loss: float, norm: float, stage: Stage) -> None:
        """Record one step; log and save when due.

        Raises
        ------
        NotFiniteError
            If a weight to be saved is NaN or infinite.
        """
        recipe, trainer = self.settings.training, self.trainer
        trainer.losses.append(loss)
        self.bar.update()
        last = trainer.iteration == recipe.iterations
        if last:  # no later loss would show it
            trainer.check_finite()
        if trainer.iteration % recipe.log_every == 0 or last:
            mean = sum(trainer.losses) / len(trainer.losses)
            trainer.losses.clear()
            row = {
                "iteration": trainer.iteration,
                "loss": mean,
                "gradient_norm": norm,
                "learning_rate": learning_rate(trainer.iteration - 1, recipe),
                "patch": stage.patch,
                "batch": stage.batch,
            }
            trainer.history.append(row)
            self.bar.set_postfix(loss=f"{mean:.4f}", patch=stage.patch, refresh=False)
            with self.processes.together():
                self._write_curve()
        if trainer.iteration % recipe.checkpoint_every == 0 and not last:
            self.save()

    def save(self) -> None:
        """Write the state; what hinders the main process ends all.

        Raises
        ------
        NotFiniteError
            If a weight is no number.
        """
        with self.processes.together():
            self.states.save(self.trainer)

    def _write_curve(self) -> None:
        if self.processes.is_main:
            table = pd.DataFrame(self.trainer.history)
            text = table.to_csv(index=False, lineterminator="\n", float_format="%.8g")
            write_atomically(self.states.folder / CURVE_FILE, text.encode())
