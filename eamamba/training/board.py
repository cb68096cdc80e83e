"""The curves and pictures of a training for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from eamamba.training.errors import TrainingError

BOARD_FOLDER = "tensorboard"


def check_installed() -> None:
    """Raise `TrainingError` if TensorBoard is missing."""
    if find_spec("tensorboard") is None:
        raise TrainingError('this needs tensorboard: pip install "eamamba[tensorboard]"')


class Board:
    """Writes events to the subfolder ``tensorboard``.

    Parameters
    ----------
    folder : Path
        Folder of the training's results.
    iteration : int
        Last iteration done: later ones of an earlier run are not shown, as they are done again.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # of an optional package

        self._writer = SummaryWriter(folder / BOARD_FOLDER, purge_step=iteration + 1)

    def add(self, group: str, row: Mapping[str, float], picture: Tensor | None = None) -> None:
        """Add the numbers of an iteration, and a picture (3, H, W) in [0, 1] if there is one."""
        step = row["iteration"]
        for name, value in row.items():
            if name != "iteration":
                self._writer.add_scalar(f"{group}/{name}", value, step)
        if picture is not None:
            self._writer.add_image(f"{group}/pictures", picture, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
