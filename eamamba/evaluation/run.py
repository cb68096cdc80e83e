"""Restore the images of a test and score them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from eamamba.config import EAMambaError, ProtocolSettings, TaskSettings
from eamamba.config.errors import ran_out_of_memory
from eamamba.evaluation.cases import Case, Cases, without_network
from eamamba.evaluation.exports import Export
from eamamba.evaluation.protocols import Scores, score
from eamamba.evaluation.table import PER_IMAGE, EvaluationError, Metrics, ScoreTable
from eamamba.evaluation.unfinished import Unfinished
from eamamba.heap import reuse_large_blocks
from eamamba.progress import bar_options
from eamamba.restore import Restorer, restore


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
    resume: bool = False,
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
        Folder for ``per_image.csv`` (benchmark, image, condition, each score of the input and of
        the output; ``problem``, what is wrong with an image, if any) and ``metrics.json`` (the
        returned dict). They contain no timings: the same weights on the same machine give the same
        bytes.
    export : Path, optional
        Folder for the restored images, in the format of `Export`.
    resume : bool
        Save each score in the output folder at once, with `Unfinished`, and skip images that an
        interrupted run has scored, and exported to the same folder.
    progress : bool
        Show a progress bar with the time left on standard error, and report failures as they occur.

    Returns
    -------
    dict
        benchmark -> condition (such as ``sigma25``; ``all``) -> means over the images:
        ``psnr_input_db``, ``psnr_db``, ``gain_db``, ``ssim_input``, ``ssim``; of the gain also the
        standard deviation over the images, ``gain_sd_db``, and its `paired_interval`,
        ``gain_low_db`` and ``gain_high_db``, all three None for a single image; the number of
        ``images``, and of those that got ``worse``. The input is the degraded image: for
        super-resolution enlarged with the bicubic kernel, for dual-pixel views their mean.

    Raises
    ------
    DatasetError
        If no benchmark can be used: all are missing or incomplete.
    EvaluationError
        If the network does not fit the task; or, after all files are written, if an image or a
        benchmark could not be used. All others are scored.

    Notes
    -----
    This follows the paper's tables. Images are padded to a multiple of 8. The output is clipped to
    [0, 1] and rounded only if the protocol requires it. Images are restored without tiles, unless
    the protocol has a tile size and the image is larger.
    """
    reuse_large_blocks()
    _check_fit(model, settings)
    written = _export(settings, output, export)
    kept = Unfinished(output, model, settings, export=export) if resume else None
    table = ScoreTable(settings, progress)
    found = Cases(settings, table.fail)
    for case in tqdm(found, f"{settings.task}: images", disable=not progress, **bar_options()):
        try:
            scores = _scores_of(case, model, settings, kept, written)
        except Exception as error:
            if not (isinstance(error, EAMambaError) or ran_out_of_memory(error)):
                raise
            table.fail(case.benchmark, case.image, error, case.condition)
            continue
        table.add(case, scores)
    metrics = table.write(output)
    if written:
        written.close(complete=not table.failures)
    if table.failures:
        raise EvaluationError(table.summary(output / PER_IMAGE), metrics)
    if kept:
        kept.remove()
    return metrics


def score_share(
    model: Restorer,
    settings: TaskSettings,
    output: Path,
    process: int,
    processes: int,
    *,
    export: Path | None = None,
) -> None:
    """Score every so-manieth image, for `evaluate` with ``resume`` to find in ``output``.

    Of several processes each scores its share; then one of them evaluates, which gives what it
    gives alone: it makes up for what a process that was lost has not done, and reports what
    cannot be scored.

    Parameters
    ----------
    model, settings, output, export : as for `evaluate`
    process, processes : int
        Number of this process, from 0, and how many there are.
    """
    _check_fit(model, settings)
    written = _export(settings, output, export)
    kept = Unfinished(output, model, settings, process, export)
    for number, case in enumerate(Cases(settings, lambda *_: None)):
        if number % processes != process:
            continue
        try:
            _scores_of(case, model, settings, kept, written)
        except (EAMambaError, MemoryError, RuntimeError) as error:
            if not (isinstance(error, EAMambaError) or ran_out_of_memory(error)):
                raise


def _export(settings: TaskSettings, output: Path, folder: Path | None) -> Export | None:
    if folder is None:
        return None
    return Export(folder, settings.data.layout, output / "blocks.unfinished")


def _scores_of(
    case: Case,
    model: Restorer,
    settings: TaskSettings,
    kept: Unfinished | None,
    written: Export | None,
) -> Scores:
    """Return the scores of a case: kept ones, or new ones, which are kept after the image is."""
    scores = kept.find(case) if kept else None
    if scores is not None and (written is None or written.file(case).is_file()):
        return scores
    example = _restore_and_score(model, settings, case)
    if written:
        written.add(case, example.restored)
    if kept:
        kept.add(case, example.scores)
    return example.scores


def _check_fit(model: Restorer, settings: TaskSettings) -> None:
    """Refuse a network whose scale or channels differ from the task's."""
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
    first: int | None = None,
) -> list[Example]:
    """Restore and score test images, for a figure or while a network is trained.

    Parameters
    ----------
    model, settings : as for `evaluate`
    condition : str, optional
        A condition in ``per_image.csv``, such as ``sigma25``; by default all.
    names : collection of str, optional
        Images in ``per_image.csv``; by default all.
    first : int, optional
        Take only so many images of each benchmark.
    """
    return [
        _restore_and_score(model, settings, case)
        for case in Cases(settings, first=first)
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
        raise EvaluationError(f"{case.image}: the network returned NaN or infinite colours")
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
