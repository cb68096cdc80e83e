"""How a network's scores depend on the size of the image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from eamamba.config import TaskSettings
from eamamba.evaluation.run import evaluate
from eamamba.restore import Restorer


def evaluate_sizes(model: Restorer, settings: TaskSettings) -> dict[int, dict[str, Any]]:
    """Test a network on square central crops, from the size of a training patch to four times that.

    Parameters
    ----------
    model, settings : as for `evaluate`
        Only the first benchmark and condition are used.

    Returns
    -------
    dict
        Side in pixels -> averages, as returned by `evaluate`.
    """
    patch = settings.training.stages[-1].patch
    found = {}
    for side in (patch, 2 * patch, 4 * patch):
        data = settings.data.model_copy(update={"held_out_size": side})
        with tempfile.TemporaryDirectory() as scratch:
            tested = settings.model_copy(update={"data": data})
            metrics = evaluate(model, tested, Path(scratch), progress=False)
        found[side] = next(iter(next(iter(metrics.values())).values()))
    return found
