"""Output of a training while it runs: curve, progress bar, checkpoints, clock."""

from __future__ import annotations

import math
import time
from typing import Any

import pandas as pd
from tqdm import tqdm

from eamamba.config import Stage
from eamamba.files import write_atomically
from eamamba.progress import bar_options
from eamamba.training.log import Log, Pace
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
        states: States,
        log: Log,
        *,
        progress: bool,
        time_limit_s: float | None,
    ) -> None:
        self.trainer, self.processes = trainer, processes
        self.states, self.log = states, log
        self.recipe = states.settings.training
        self.pace = Pace(self.recipe, str(trainer.accelerator.device))
        self.bar = tqdm(
            total=self.recipe.iterations,
            initial=trainer.iteration,
            desc=states.settings.task,
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
        return self.trainer.iteration < self.recipe.iterations and time.monotonic() > self.deadline

    def after(self, loss: float, norm: float, stage: Stage) -> None:
        """Record one step; log and save when due.

        Raises
        ------
        NotFiniteError
            If a weight to be saved is NaN or infinite.
        """
        recipe, trainer = self.recipe, self.trainer
        trainer.losses.append(loss)
        self.pace.add(stage)
        self.bar.update()
        last = trainer.iteration == recipe.iterations
        if last:  # no later loss would show it
            trainer.check_finite()
        if trainer.iteration % recipe.log_every == 0 or last:
            with self.processes.together():
                self._log_step(norm, stage)
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

    def _log_step(self, norm: float, stage: Stage) -> None:
        """Extend the curve, the bar and the log by the steps since the last time."""
        trainer = self.trainer
        mean = sum(trainer.losses) / len(trainer.losses)
        trainer.losses.clear()
        rate = learning_rate(trainer.iteration - 1, self.recipe)
        row = {
            "iteration": trainer.iteration,
            "loss": mean,
            "gradient_norm": norm,
            "learning_rate": rate,
            "patch": stage.patch,
            "batch": stage.batch,
        }
        trainer.history.append(row)
        if not self.processes.is_main:
            return
        self.bar.set_postfix(loss=f"{mean:.4f}", patch=stage.patch, refresh=False)
        self._write_table(CURVE_FILE, trainer.history, "%.8g")
        self.log.write(
            f"iteration {trainer.iteration} of {self.recipe.iterations}: loss {mean:.4g}, "
            f"learning rate {rate:.3g}, {self.pace.since_last(trainer.iteration)}"
        )

    def _write_table(self, name: str, rows: list[dict[str, Any]], number_format: str) -> None:
        table = pd.DataFrame(rows)
        text = table.to_csv(index=False, lineterminator="\n", float_format=number_format)
        write_atomically(self.states.folder / name, text.encode())
