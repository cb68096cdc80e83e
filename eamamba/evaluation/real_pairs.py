"""Score weights on the published test sets and real pairs in a folder.

The networks of the book learn from simulated degradations; this shows how they perform on images
degraded by others or by a camera.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection
from io import StringIO
from pathlib import Path

import pandas as pd

from eamamba.checkpoint import load_model
from eamamba.config import EAMambaError, LayoutName, Settings, TaskSettings
from eamamba.evaluation.run import EvaluationError, evaluate
from eamamba.evaluation.statistics import paired_interval
from eamamba.files import write_atomically

SETS: dict[str, tuple[LayoutName, tuple[str, ...]]] = {
    "denoise_gaussian": ("photographs", ("CBSD68", "Kodak24", "McMaster")),
    "denoise_real": ("pairs", ("CC15",)),
    "deblur_motion": ("pairs", ("GoPro", "GoPro_sample", "HIDE")),
    "dehaze_indoor": ("reside", ("SOTS-indoor",)),
    "dehaze_outdoor": ("reside", ("SOTS-outdoor",)),
    "derain": ("pairs", ("Rain100H", "Rain100L", "Test100")),
    "sr_real_x3": ("city100", ("City100_iPhoneX",)),  # its two focal lengths are 2.9 apart
    "sr_light_x2": ("bicubic_x2", ("Set5", "Set14", "B100", "Urban100")),
    "sr_light_x3": ("bicubic_x3", ("Set5", "Set14", "B100", "Urban100")),
    "sr_light_x4": ("bicubic_x4", ("Set5", "Set14", "B100", "Urban100")),
}
"""Task -> layout of its sets, and the folders to look for."""

PER_IMAGE, SUMMARY = "per_image.csv", "summary.csv"
_WHICH = ["task", "benchmark", "condition"]
_NUMBER_FORMAT = "%.6g"


class RealPairsError(EAMambaError):
    """The folder has none of the sets, or there are no weights for their tasks."""


def score_real_pairs(
    folder: Path,
    settings: Settings,
    find: Callable[[str], Path],
    *,
    tasks: Collection[str] | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Restore and score all images of all sets in a folder, by the protocol of each task.

    Parameters
    ----------
    folder : Path
        Holds some or all of the folders in `SETS`.
    settings : Settings
        Protocols; benchmarks and layout come from `SETS`.
    find : function
        Returns the weights file of a task, or raises `CheckpointError`.
    tasks : collection of str, optional
        Default: all of `SETS`.
    device : str
    say : function
        Called with one line for each set or image that is skipped, and why.

    Returns
    -------
    DataFrame
        ``per_image.csv`` of `evaluate` for all tasks, with the columns ``task`` and ``weights_md5``
        in front.

    Raises
    ------
    RealPairsError
        If there is nothing to score.
    """
    tables = []
    for task, (layout, names) in SETS.items():
        present = [name for name in names if (folder / name).is_dir()]
        if (tasks is not None and task not in tasks) or not present:
            continue
        try:
            weights = find(task)
        except EAMambaError as error:
            say(f"{task}, {', '.join(present)}: skipped: {error}")
            continue
        folders = {name: str((folder / name).resolve()) for name in present}
        table = _score(weights, _with_benchmarks(settings.task(task), layout, folders), device, say)
        digest = hashlib.md5(weights.read_bytes(), usedforsecurity=False).hexdigest()
        tables.append(table.assign(task=task, weights_md5=digest))
    if not tables:
        known = ", ".join(dict.fromkeys(name for _, names in SETS.values() for name in names))
        raise RealPairsError(f"{folder}: nothing to score; expected folders such as {known}")
    joined = pd.concat(tables, ignore_index=True)
    first = ["task", "weights_md5"]
    return joined[[*first, *joined.columns.drop(first)]]


def _with_benchmarks(
    settings: TaskSettings, layout: LayoutName, folders: dict[str, str]
) -> TaskSettings:
    data = settings.data.model_copy(update={"layout": layout, "benchmarks": folders})
    return settings.model_copy(update={"data": data})


def _score(
    weights: Path, settings: TaskSettings, device: str, say: Callable[[str], None]
) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            evaluate(load_model(weights, device), settings, Path(scratch))
        except EvaluationError as error:
            if not error.metrics:
                raise
            say(str(error))
        return pd.read_csv(Path(scratch) / "per_image.csv")


def summarise(per_image: pd.DataFrame) -> pd.DataFrame:
    """Average over the images of each set and condition.

    Parameters
    ----------
    per_image : DataFrame
        As returned by `score_real_pairs`.

    Returns
    -------
    DataFrame
        task, benchmark, condition, weights_md5, images, the mean of each score, ``gain_db`` with
        its `paired_interval`, ``gain_low_db`` and ``gain_high_db``, and ``worse``, the number of
        images whose PSNR is lower than that of the input.
    """
    measured = per_image[per_image["psnr_db"].notna()]
    gain_db = measured["psnr_db"] - measured["psnr_input_db"]
    parts = measured.assign(gain_db=gain_db, worse=gain_db < 0).groupby(_WHICH, sort=False)
    named = [*_WHICH, "weights_md5", "image", "problem"]
    scores = [name for name in (*measured, "gain_db") if name not in named]
    table = parts[scores].mean().reset_index()
    table.insert(3, "weights_md5", parts["weights_md5"].first().to_numpy())
    table.insert(4, "images", parts.size().to_numpy())
    intervals = [paired_interval(part["gain_db"].tolist()) for _, part in parts]
    table[["gain_low_db", "gain_high_db"]] = intervals
    return table.assign(worse=parts["worse"].sum().to_numpy())


def write(per_image: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write ``per_image.csv`` and ``summary.csv``, and return the latter for the images given.

    Rows of other tasks that the files already have are kept.
    """
    summary = summarise(per_image)
    for name, table in ((PER_IMAGE, per_image), (SUMMARY, summary)):
        text = table.to_csv(index=False, lineterminator="\n", float_format=_NUMBER_FORMAT)
        text = _with_other_tasks(text, folder / name)
        # file names may not be valid text
        write_atomically(folder / name, text.encode(errors="backslashreplace"))
    return summary


def _with_other_tasks(text: str, file: Path) -> str:
    """Add the rows of a file on tasks that the table in ``text`` lacks, in the order of `SETS`."""
    if not file.is_file():
        return text
    new, old = (
        pd.read_csv(source, dtype=str, keep_default_na=False) for source in (StringIO(text), file)
    )
    if list(old) != list(new):
        return text  # of another version
    table = pd.concat([new, old[~old["task"].isin(new["task"])]])
    place = {task: number for number, task in enumerate(SETS)}
    table = table.sort_values("task", key=lambda tasks: tasks.map(place), kind="stable")
    return table.to_csv(index=False, lineterminator="\n")
