"""The log of a training: lines with times, for whoever looks at it hours later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from eamamba.config import EAMambaError, Stage, TrainingSettings
from eamamba.profiling.measured import peak_bytes

LOG_FILE = "training.log"
_GIB = 2**30


class Log:
    """Append lines to ``training.log``; a log that cannot be written stops no training.

    Parameters
    ----------
    folder : Path
        Folder of the training's results.
    active : bool
        Whether to write at all: the main process does.
    """

    def __init__(self, folder: Path, active: bool) -> None:
        self.path, self.active = folder / LOG_FILE, active

    def write(self, text: str) -> None:
        """Append one line."""
        if not self.active:
            return
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        line = f"{now} {' '.join(text.split())}\n"
        with suppress(OSError), self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line)

    @contextmanager
    def with_reason(self) -> Iterator[None]:
        """Say why the training ended, if by an error or a signal."""
        try:
            yield
        except BaseException as error:
            expected = isinstance(error, EAMambaError | KeyboardInterrupt) and str(error)
            self.write(f"ended: {error}" if expected else f"ended: {type(error).__name__}: {error}")
            raise


class Pace:
    """How fast a training advances, measured from each line of the log to the next."""

    def __init__(self, recipe: TrainingSettings, device: str) -> None:
        self._recipe, self._device = recipe, device
        self._images = self._pixels = 0
        self._since = time.perf_counter()

    def add(self, stage: Stage) -> None:
        """Count one step."""
        self._images += stage.batch
        self._pixels += stage.batch * stage.patch**2

    def since_last(self, iteration: int) -> str:
        """Return images per second, peak memory and time left, at equal time per pixel."""
        now = time.perf_counter()
        seconds = now - self._since
        left = timedelta(seconds=round(seconds * self._left(iteration) / self._pixels))
        text = (
            f"{self._images / seconds:.3g} images/s, "
            f"peak memory {peak_bytes(self._device) / _GIB:.2f} GiB, {left} left"
        )
        self._images = self._pixels = 0
        self._since = now
        return text

    def _left(self, iteration: int) -> int:
        """Return the pixels of all patches after an iteration."""
        pixels = 0
        for stage in self._recipe.stages:
            done = min(iteration, stage.iterations)
            iteration -= done
            pixels += (stage.iterations - done) * stage.batch * stage.patch**2
        return pixels
