"""The scores of a test, per image and averaged."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from eamamba.config import EAMambaError, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.evaluation.cases import Case
from eamamba.evaluation.protocols import Scores
from eamamba.evaluation.statistics import paired_interval
from eamamba.files import write_atomically

PER_IMAGE = "per_image.csv"
Metrics = dict[str, dict[str, dict[str, float | int | None]]]

# Significant digits: more than any table shows, few enough to agree between CPUs.
_NUMBER_FORMAT = "%.6g"
# Number of failed images that an error lists; the table lists all.
_NAMED = 3


class EvaluationError(EAMambaError):
    """Some images could not be scored (raised after all others were), or the network does not fit.

    Attributes
    ----------
    metrics : dict
        What `evaluate` would have returned: averages over all other images.
    """

    def __init__(self, message: str, metrics: Metrics | None = None) -> None:
        super().__init__(message)
        self.metrics: Metrics = metrics or {}


class ScoreTable:
    """Scores and failures, image by image; failures are reported at once if `report` is true."""

    def __init__(self, settings: TaskSettings, report: bool) -> None:
        self.report = report
        self.rows: list[dict[str, Any]] = []
        self.failures: dict[tuple[str, str], str] = {}
        self.scores: dict[str, dict[str, list[Scores]]] = {
            name: {} for name in settings.data.benchmarks
        }

    def add(self, case: Case, scores: Scores) -> None:
        """Add the scores of one image."""
        where = {"benchmark": case.benchmark, "image": case.image, "condition": case.condition}
        self.rows.append(where | scores)
        for condition in case.conditions:
            self.scores[case.benchmark].setdefault(condition, []).append(scores)

    def fail(self, benchmark: str, image: str, error: Exception, condition: str = "") -> None:
        """Add an image that cannot be scored."""
        problem = " ".join(str(error).split())
        if not isinstance(error, EAMambaError | OSError) and ran_out_of_memory(error):
            problem = "not enough memory"
        where = {"benchmark": benchmark, "image": image, "condition": condition}
        self.rows.append(where | {"problem": problem})
        self.failures[benchmark, image] = problem
        if self.report:  # a test may take hours, and this may be reason to stop it
            tqdm.write(f"note: {benchmark} {image}".rstrip() + f": {problem}", file=sys.stderr)

    def write(self, folder: Path) -> Metrics:
        """Write ``per_image.csv`` and ``metrics.json``, and return the content of the latter."""
        # file names may not be valid text
        write_atomically(folder / PER_IMAGE, self._csv().encode(errors="backslashreplace"))
        metrics = self._metrics()
        text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(folder / "metrics.json", text.encode())
        return metrics

    def _csv(self) -> str:
        table = pd.DataFrame(self.rows)
        if "problem" in table:
            table["problem"] = table.pop("problem")  # the last column
        return table.to_csv(index=False, lineterminator="\n", float_format=_NUMBER_FORMAT)

    def _metrics(self) -> Metrics:
        return {
            benchmark: {condition: _mean_scores(part) for condition, part in parts.items()}
            for benchmark, parts in self.scores.items()
        }

    def summary(self, path: Path) -> str:
        """List in one line what could not be scored."""
        tried = {(row["benchmark"], row["image"]) for row in self.rows}
        named = [
            f"{' '.join(filter(None, where))}: {problem}"
            for where, problem in list(self.failures.items())[:_NAMED]
        ]
        more = len(self.failures) - len(named)
        rest = f"; and {more} more, in {path}" if more > 0 else f" (in {path} too)"
        return (
            f"{len(self.failures)} of {len(tried)} images or benchmarks could not be scored and "
            f"are in no average: {'; '.join(named)}{rest}"
        )


def _mean_scores(scores: list[Scores]) -> dict[str, float | int | None]:
    """Average over images; an infinite average is None, because JSON has no infinity."""
    means = {name: math.fsum(s[name] for s in scores) / len(scores) for name in scores[0]}
    gains = [s["psnr_db"] - s["psnr_input_db"] for s in scores]
    means["gain_db"] = means["psnr_db"] - means["psnr_input_db"]
    spread = len(gains) > 1 and all(map(math.isfinite, gains))
    means["gain_sd_db"] = float(np.std(gains, ddof=1)) if spread else math.nan
    means["gain_low_db"], means["gain_high_db"] = paired_interval(gains)
    rounded = {n: float(_NUMBER_FORMAT % v) if math.isfinite(v) else None for n, v in means.items()}
    return rounded | {"images": len(scores), "worse": sum(gain < 0 for gain in gains)}
