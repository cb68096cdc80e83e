"""Restore the images of a test and score them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from eamamba.config import ProtocolSettings, TaskSettings
from eamamba.evaluation.cases import Case, cases, without_network
from eamamba.evaluation.exports import Export
from eamamba.evaluation.protocols import Scores, score
from eamamba.files import write_atomically
from eamamba.heap import reuse_large_blocks
from eamamba.restore import Restorer, restore

Metrics = dict[str, dict[str, dict[str, float | int | None]]]

# Significant digits: more than any table shows, few enough to agree between CPUs.
_NUMBER_FORMAT = "%.6g"


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
        Folder for ``per_image.csv`` (benchmark, image, condition, scores of the input and the
        output) and ``metrics.json`` (the returned value). They contain no times: the same weights
        on the same machine give the same bytes.
    export : Path, optional
        Folder for the restored images, as `Export` writes them.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    dict
        benchmark -> condition (such as ``sigma25``; ``all``) -> means over the images:
        ``psnr_input_db``, ``psnr_db``, ``gain_db``, ``ssim_input``, ``ssim``, ``images``.
        The input is the degraded image: for super-resolution enlarged with the bicubic kernel,
        for dual-pixel views their mean.

    Raises
    ------
    DatasetError
        If a benchmark is missing or incomplete.

    Notes
    -----
    This follows the paper's tables. Images are padded to a multiple of 8. The output is clipped to
    [0, 1] and rounded only if the protocol requires it. Images are restored whole, unless the
    protocol has a tile size and the image is larger.
    """
    reuse_large_blocks()
    written = None if export is None else Export(export, settings.data.layout)
    rows: list[dict[str, Any]] = []
    scores: dict[str, dict[str, list[Scores]]] = {name: {} for name in settings.data.benchmarks}
    for case in tqdm(cases(settings), f"{settings.task}: images", disable=not progress):
        example = _restore_and_score(model, settings, case)
        where = {"benchmark": case.benchmark, "image": case.image, "condition": case.condition}
        rows.append(where | example.scores)
        for condition in case.conditions:
            scores[case.benchmark].setdefault(condition, []).append(example.scores)
        if written:
            written.add(case, example.restored)
    if written:
        written.close()
    table = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format=_NUMBER_FORMAT)
    write_atomically(output / "per_image.csv", table.encode())
    metrics = {
        benchmark: {condition: _mean_scores(part) for condition, part in parts.items()}
        for benchmark, parts in scores.items()
    }
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(output / "metrics.json", text.encode())
    return metrics


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
    scores = _score_input_and_output(settings.evaluation.protocol, case.clean, degraded, restored)
    return Example(case.image, case.clean, degraded, restored, scores)


def _score_input_and_output(
    protocol: ProtocolSettings, clean: Tensor, degraded: Tensor, restored: Tensor
) -> Scores:
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
    means["gain_db"] = means["psnr_db"] - means["psnr_input_db"]
    rounded = {n: float(_NUMBER_FORMAT % v) if math.isfinite(v) else None for n, v in means.items()}
    return rounded | {"images": len(scores)}
