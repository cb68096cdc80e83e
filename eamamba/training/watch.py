"""Output of a training while it runs: curve, progress bar, checkpoints, clock."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import pandas as pd
from tqdm import tqdm

from eamamba.config import Stage
from eamamba.files import write_atomically
from eamamba.images import write_image
from eamamba.progress import bar_options
from eamamba.training.board import Board
from eamamba.training.kept import BEST_FILE, save_average, save_snapshot, snapshots
from eamamba.training.log import Log, Pace
from eamamba.training.processes import Processes
from eamamba.training.schedule import learning_rate
from eamamba.training.states import States
from eamamba.training.trainer import Trainer
from eamamba.training.validation import (
    PICTURE_FILE,
    VALIDATION_FILE,
    mean_scores,
    picture,
    validate,
)

CURVE_FILE = "training.csv"
WATCHED = (BEST_FILE, VALIDATION_FILE, PICTURE_FILE)
"""What validations write."""


class Watch:
    """Logs, progress bar, checkpoints and the clock of one training run."""

    def __init__(
        self,
        trainer: Trainer,
        processes: Processes,
        states: States,
        log: Log,
        progress: bool,
        time_limit_s: float | None,
        tensorboard: bool,
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
        self.progress = progress
        self.board: Board | None = None
        self._wants_board = tensorboard
        limit = math.inf if time_limit_s is None else time_limit_s
        self.deadline = time.monotonic() + limit

    def __enter__(self) -> Watch:
        with self.processes.together():
            if self.processes.is_main:
                self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.board:
            self.board.close()

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
        iteration = trainer.iteration
        last = iteration == recipe.iterations
        save = iteration % recipe.checkpoint_every == 0 and not last
        score = recipe.validate_every and (iteration % recipe.validate_every == 0 or last)
        if last or save or score:  # no loss has shown it yet
            trainer.check_finite()
        if iteration % recipe.log_every == 0 or last:
            with self.processes.together():
                self._log_step(norm, stage)
        if score:
            with self.processes.together():
                self._validate()
        if save:
            with self.processes.together():
                if recipe.keep_last and self.processes.is_main:
                    save_snapshot(trainer, self.states)
            self.save()  # last: what is written before is written again after a kill

    def save(self) -> None:
        """Write the state; what hinders the main process ends all.

        Raises
        ------
        NotFiniteError
            If a weight is no number.
        """
        with self.processes.together():
            self.states.save(self.trainer)

    def _begin(self) -> None:
        """Say what begins or continues; remove what a new training would mix its own with."""
        done, total = self.trainer.iteration, self.recipe.iterations
        what = (
            f"resumed from iteration {done} of {total}" if done else f"started: {total} iterations"
        )
        task = f"{self.states.settings.task} ({self.states.settings.profile})"
        several = f"{self.processes.count} process{'es' * (self.processes.count > 1)}"
        self.log.write(f"{what} of {task}, {several} on {self.trainer.accelerator.device.type}")
        if done and self.progress:
            print(f"Resuming from iteration {done}", file=sys.stderr)
        if not done:
            folder = self.states.folder
            for path in (*snapshots(folder), *(folder / name for name in WATCHED)):
                path.unlink(missing_ok=True)
        if self._wants_board:
            self.board = Board(self.states.folder, done)

    def _log_step(self, norm: float, stage: Stage) -> None:
        """Extend the curve, the bar and the log by the steps since the last time."""
        trainer = self.trainer
        mean = sum(trainer.losses) / len(trainer.losses)
        trainer.losses.clear()
        rate = learning_rate(trainer.schedule.last_epoch - 1, self.recipe)  # of the last step
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
        if self.board:
            self.board.add("training", row)
        self.log.write(
            f"iteration {trainer.iteration} of {self.recipe.iterations}: loss {mean:.4g}, "
            f"learning rate {rate:.3g}, {self.pace.since_last(trainer.iteration)}"
        )

    def _validate(self) -> None:
        """Score the average of the weights, and keep it if no earlier one was better."""
        if not self.processes.is_main:
            return
        trainer, folder = self.trainer, self.states.folder
        found = validate(trainer.averaged, self.states.settings)
        row = {"iteration": trainer.iteration} | mean_scores(found)
        best = all(row["psnr_db"] > earlier["psnr_db"] for earlier in trainer.validations)
        if best:
            save_average(trainer, self.states, BEST_FILE, validation=row)
        trainer.validations.append(row)
        self._write_table(VALIDATION_FILE, trainer.validations, "%.6g")
        shown = picture(found)
        write_image(folder / PICTURE_FILE, shown)
        if self.board:
            self.board.add("validation", row, shown)
        self.log.write(
            f"validation after {trainer.iteration}: PSNR (dB) {row['psnr_db']:.2f}, input "
            f"{row['psnr_input_db']:.2f}, SSIM {row['ssim']:.4f}{', best so far' * best}"
        )

    def _write_table(self, name: str, rows: list[dict[str, Any]], number_format: str) -> None:
        table = pd.DataFrame(rows)
        text = table.to_csv(index=False, lineterminator="\n", float_format=number_format)
        write_atomically(self.states.folder / name, text.encode())
