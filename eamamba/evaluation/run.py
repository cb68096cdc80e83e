"""Restore the images of a test and score them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from eamamba.config import EAMambaError, ProtocolSettings, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.evaluation.cases import Case, cases, without_network
from eamamba.evaluation.exports import Export
from eamamba.evaluation.protocols import Scores, score
from eamamba.evaluation.statistics import paired_interval
from eamamba.files import write_atomically
from eamamba.heap import reuse_large_blocks
from eamamba.progress import bar_options
from eamamba.restore import Restorer, restore

Metrics = dict[str, dict[str, dict[str, float | int | None]]]

# Significant digits: more than any table shows, few enough to agree between CPUs.
_NUMBER_FORMAT = "%.6g"
# How many failed images an error names; the table names all.
_NAMED = 3


class EvaluationError(EAMambaError):
    """Images that could not be measured, after everything else was; or a network of another kind.

    Attributes
    ----------
    metrics : dict
        What `evaluate` would have returned: the means over all other images.
    """

    def __init__(self, message: str, metrics: Metrics | None = None) -> None:
        super().__init__(message)
        self.metrics: Metrics = metrics or {}


@dataclass(frozen=True)
class Example:
    """A test image, degraded and restored, each (3, H, W) float32.

    Attributes
    ----------
    name : str
    clean : Tensor in [0, 1]
    degraded : Tensor
        Noise is not clipped, smaller images are enlarged, and dual-pixel views are averaged.
    restored : Tensor in [0, 1]
    scores : dict
        Scores of the degraded and the restored image under the protocol of the task, such as
        ``psnr_input_db`` and ``psnr_db``.
    """

    name: str
    clean: Tensor
    degraded: Tensor
    restored: Tensor
    scores: Scores


def evaluate(
    model: Restorer,
    settings: TaskSettings,
    output: Path,
    *,
    export: Path | None = None,
    progress: bool = True,
) -> Metrics:
    """Restore every image of every benchmark and write the scores.

    Parameters
    ----------
    model : EAMamba or another network that `restore` accepts
        On any device, in eval mode.
    settings : TaskSettings
        The benchmarks and the test protocol.
    output : Path
        Folder for ``per_image.csv`` (benchmark, image, condition, each score of the input and
        of the output; ``problem``, what is wrong with an image, if there is any) and
        ``metrics.json`` (what is returned). They hold no times: the same weights on the same
        machine give the same bytes.
    export : Path, optional
        Folder for the restored images, as `Export` writes them.
    progress : bool
        Show a progress bar on standard error, and what cannot be measured as soon as it is met.

    Returns
    -------
    dict
        benchmark -> condition (such as ``sigma25``; ``all``) -> means over the images:
        ``psnr_input_db``, ``psnr_db``, ``gain_db``, ``ssim_input``, ``ssim``; of the gain also the
        standard deviation over the images, ``gain_sd_db``, and its `paired_interval`,
        ``gain_low_db`` and ``gain_high_db``, all three None for a single image; how many
        ``images``, and how many of them got ``worse``. The input is the degraded image: for
        super-resolution enlarged with the bicubic kernel, for dual-pixel views their mean.

    Raises
    ------
    DatasetError
        If no benchmark can be used: missing, or not whole.
    EvaluationError
        If the network does not fit the task; or, after all files are written, if an image or a
        benchmark could not be used. The others are measured.

    Notes
    -----
    This follows the paper's tables. Images are padded to a multiple of 8. The output is clipped to
    [0, 1] and rounded only if the protocol requires it. Images are restored whole, unless the
    protocol has a tile size and the image is larger.
    """
    reuse_large_blocks()
    _check_fit(model, settings)
    written = None if export is None else Export(export, settings.data.layout)
    table = _Table(settings, progress)
    name = f"{settings.task}: images"
    found = cases(settings, table.fail)
    for case in tqdm(found, name, disable=not progress, **bar_options()):
        try:
            example = _restore_and_score(model, settings, case)
        except Exception as error:
            if not (isinstance(error, EAMambaError) or ran_out_of_memory(error)):
                raise
            table.fail(case.benchmark, case.image, error, case.condition)
            continue
        table.add(case, example.scores)
        if written:
            written.add(case, example.restored)
    # names of files need not be valid text
    write_atomically(output / "per_image.csv", table.csv().encode(errors="backslashreplace"))
    metrics = table.metrics()
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(output / "metrics.json", text.encode())
    if written:
        written.close(whole=not table.failures)
    if table.failures:
        raise EvaluationError(table.summary(output / "per_image.csv"), metrics)
    return metrics


class _Table:
    """What is measured and what cannot be, image by image; the latter is said at once if asked."""

    def __init__(self, settings: TaskSettings, say: bool) -> None:
        self.say = say
        self.rows: list[dict[str, Any]] = []
        self.failures: dict[tuple[str, str], str] = {}
        self.scores: dict[str, dict[str, list[Scores]]] = {
            name: {} for name in settings.data.benchmarks
        }

    def add(self, case: Case, scores: Scores) -> None:
        where = {"benchmark": case.benchmark, "image": case.image, "condition": case.condition}
        self.rows.append(where | scores)
        for condition in case.conditions:
            self.scores[case.benchmark].setdefault(condition, []).append(scores)

    def fail(self, benchmark: str, image: str, error: Exception, condition: str = "") -> None:
        problem = " ".join(str(error).split())
        if not isinstance(error, EAMambaError | OSError) and ran_out_of_memory(error):
            problem = "not enough memory"
        where = {"benchmark": benchmark, "image": image, "condition": condition}
        self.rows.append(where | {"problem": problem})
        self.failures[benchmark, image] = problem
        if self.say:  # a test may take hours, and this may be worth stopping it
            tqdm.write(f"note: {benchmark} {image}".rstrip() + f": {problem}", file=sys.stderr)

    def csv(self) -> str:
        table = pd.DataFrame(self.rows)
        if "problem" in table:
            table["problem"] = table.pop("problem")  # the last column
        return table.to_csv(index=False, lineterminator="\n", float_format=_NUMBER_FORMAT)

    def metrics(self) -> Metrics:
        return {
            benchmark: {condition: _mean_scores(part) for condition, part in parts.items()}
            for benchmark, parts in self.scores.items()
        }

    def summary(self, path: Path) -> str:
        """Say in one line what could not be measured."""
        tried = {(row["benchmark"], row["image"]) for row in self.rows}
        named = [
            f"{' '.join(filter(None, place))}: {problem}"
            for place, problem in list(self.failures.items())[:_NAMED]
        ]
        more = len(self.failures) - len(named)
        rest = f"; and {more} more, in {path}" if more > 0 else f" (in {path} too)"
        return (
            f"{len(self.failures)} of {len(tried)} images or benchmarks could not be measured and "
            f"are in no mean: {'; '.join(named)}{rest}"
        )


def _check_fit(model: Restorer, settings: TaskSettings) -> None:
    """Refuse a network that takes or gives other images than the task's."""
    if model.upscale != settings.scale:
        raise EvaluationError(
            f"the network enlarges images {model.upscale} times, the task {settings.task!r} needs "
            f"{settings.scale}; choose the weights of that task"
        )
    taken = getattr(getattr(model, "settings", None), "inp_channels", None)
    if taken not in (None, settings.model.inp_channels):
        raise EvaluationError(
            f"the network takes {taken} channels, the task {settings.task!r} gives "
            f"{settings.model.inp_channels}; choose the weights of that task"
        )


def examples(
    model: Restorer,
    settings: TaskSettings,
    condition: str | None = None,
    names: Collection[str] | None = None,
) -> list[Example]:
    """Restore test images for a figure.

    Parameters
    ----------
    model, settings : as for `evaluate`
    condition : str, optional
        A condition of ``per_image.csv``, such as ``sigma25``; by default all.
    names : collection of str, optional
        Images of ``per_image.csv``; by default all.
    """
    return [
        _restore_and_score(model, settings, case)
        for case in cases(settings)
        if condition in (None, case.condition) and (names is None or case.image in names)
    ]


def _restore_and_score(model: Restorer, settings: TaskSettings, case: Case) -> Example:
    tile, side = settings.evaluation.protocol.tile, max(case.degraded.shape[-2:])
    restored = restore(
        model,
        case.degraded,
        self_ensemble=settings.evaluation.self_ensemble,
        tile=tile if tile and side > tile else None,
    )
    height, width = case.clean.shape[-2:]
    scale = settings.scale
    degraded = without_network(case.degraded[..., : height // scale, : width // scale], scale)
    restored = restored[..., :height, :width]
    if not torch.isfinite(restored).all():
        raise EvaluationError(f"{case.image}: the network gave NaN or infinite colours")
    scores = score_before_and_after(settings.evaluation.protocol, case.clean, degraded, restored)
    return Example(case.image, case.clean, degraded, restored, scores)


def score_before_and_after(
    protocol: ProtocolSettings, clean: Tensor, degraded: Tensor, restored: Tensor
) -> Scores:
    """Return the scores of both images, such as ``psnr_input_db`` and ``psnr_db``."""
    before, after = score(degraded, clean, protocol), score(restored, clean, protocol)
    scores: Scores = {}
    for name, value in after.items():
        scores[_input_score_name(name)] = before[name]
        scores[name] = value
    return scores


def _input_score_name(name: str) -> str:
    return f"{name.removesuffix('_db')}_input" + ("_db" if name.endswith("_db") else "")


def _mean_scores(scores: list[Scores]) -> dict[str, float | int | None]:
    """Average over images; an infinite mean is None, because JSON has no infinity."""
    means = {name: math.fsum(s[name] for s in scores) / len(scores) for name in scores[0]}
    gains = [s["psnr_db"] - s["psnr_input_db"] for s in scores]
    means["gain_db"] = means["psnr_db"] - means["psnr_input_db"]
    spread = len(gains) > 1 and all(map(math.isfinite, gains))
    means["gain_sd_db"] = float(np.std(gains, ddof=1)) if spread else math.nan
    means["gain_low_db"], means["gain_high_db"] = paired_interval(gains)
    rounded = {n: float(_NUMBER_FORMAT % v) if math.isfinite(v) else None for n, v in means.items()}
    return rounded | {"images": len(scores), "worse": sum(gain < 0 for gain in gains)}
