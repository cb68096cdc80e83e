"""Settings to train on your own photographs or pairs, some of which are held out for testing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from eamamba.config import (
    ProtocolSettings,
    Settings,
    SettingsError,
    Stage,
    TaskSettings,
    TrainingSettings,
)
from eamamba.config.errors import did_you_mean
from eamamba.datasets import DatasetError, PairedFolder, PhotoFolder
from eamamba.datasets.errors import warn_skipped

PAIRS_TASK = "own_pairs"
HELD_OUT = "held-out images"
# One in this many images is held out, but no more than the test needs.
_EVERY, _MOST_HELD_OUT = 10, 10
# The test takes central crops: large enough to measure, with no more memory than training.
_TESTED_PIXELS = 512
# Source of the network and the recipe for pairs: a task where input and output look alike.
_LIKE_PAIRS = "sensor_noise"


def own_photographs(
    profile: Settings, photos: Path, degradation: str, output: Path, iterations: int | None = None
) -> TaskSettings:
    """Return settings to learn from clean photographs to undo a degradation.

    Parameters
    ----------
    profile : Settings
        Its task with this degradation supplies the network and the recipe.
    photos : Path
        Folder of clean photographs, at least two.
    degradation : str
        One of `eamamba.config.DEGRADATION_KINDS`; it is applied on the fly.
    output : Path
        Folder of the results; links to the photographs are created in its subfolder ``images``, in
        ``training`` and ``held_out``. One in ten photographs is held out.
    iterations : int, optional
        Total number of steps; by default that of the profile.

    Raises
    ------
    DatasetError
        There is no such folder, or too few photographs are in it.
    SettingsError
        There is no such degradation.
    """
    base = _task_with(profile, degradation)
    found = PhotoFolder(photos)
    warn_skipped(found.notes)
    places = _split({path.name: {path.name: path} for path in found.paths}, photos, output)
    data = {"layout": "photographs", "held_out_size": _TESTED_PIXELS}
    return _changed(base, data, places, iterations)


def own_pairs(
    profile: Settings, pairs: Path, output: Path, iterations: int | None = None
) -> TaskSettings:
    """Return settings to learn from pairs in ``input`` and ``target``, matched by name.

    Parameters, errors and what is held out as for `own_photographs`; the recipe is that of sensor
    noise, and scores are PSNR and SSIM of RGB.
    """
    base = _task_with(profile, _LIKE_PAIRS)
    found = PairedFolder(pairs)
    warn_skipped(found.notes)
    files = {
        pair.name: {
            f"input/{pair.degraded[0].name}": pair.degraded[0],
            f"target/{pair.clean.name}": pair.clean,
        }
        for pair in found
    }
    changed = _changed(base, {"layout": "pairs"}, _split(files, pairs, output), iterations)
    evaluation = base.evaluation.model_copy(update={"protocol": ProtocolSettings()})
    names = {"task": PAIRS_TASK, "title": "own pairs"}
    return changed.model_copy(update=names | {"evaluation": evaluation})


def _task_with(profile: Settings, degradation: str) -> TaskSettings:
    tasks = {task.data.degradation: task for task in profile.tasks.values()}
    if degradation not in tasks:
        known = did_you_mean(degradation, tasks)
        raise SettingsError(f"no degradation {degradation!r}{known}")
    return tasks[degradation]


def _changed(
    base: TaskSettings,
    data: Mapping[str, object],
    places: tuple[str, str],
    iterations: int | None,
) -> TaskSettings:
    training, held_out = places
    sets = {"training_set": {"own images": training}, "benchmarks": {HELD_OUT: held_out}}
    changes = {
        "data": base.data.model_copy(update={**data, **sets}),
        "training": _lasting(base.training, iterations or base.training.iterations),
    }
    return base.model_copy(update=changes)


def _lasting(recipe: TrainingSettings, iterations: int) -> TrainingSettings:
    """Return a recipe of so many iterations in all, its parts in proportion."""
    share = iterations / recipe.iterations
    stages: list[Stage] = []
    for number, stage in enumerate(recipe.stages, start=1):
        begun = sum(stage.iterations for stage in stages)
        planned = sum(stage.iterations for stage in recipe.stages[:number])
        left = round(planned * share) - begun
        if left > 0:
            stages.append(stage.model_copy(update={"iterations": left}))
    changes = {
        "micro_batch": "auto",  # whatever machine it is
        "stages": tuple(stages),
        "constant_iterations": round(recipe.constant_iterations * share),
        "halved_at": tuple(round(at * share) for at in recipe.halved_at),
    }
    return recipe.model_copy(update=changes)


def _split(images: Mapping[str, Mapping[str, Path]], source: Path, output: Path) -> tuple[str, str]:
    """Link images into a folder for training and one for the test, and return the two.

    Parameters
    ----------
    images : mapping
        Name -> the files of an image: their place in either folder, and where they are.
    source : Path
        For errors.
    output : Path
    """
    names = sorted(images)
    if len(names) < 2:
        raise DatasetError(
            f"{source}: {len(names)} image in it; expected at least 2, since one is held out to "
            "measure what was learnt"
        )
    number = min(max(1, len(names) // _EVERY), _MOST_HELD_OUT)
    held_out = set(names[:: -(-len(names) // number)])
    root = (output / "images").resolve()
    for old in root.rglob("*"):
        if old.is_symlink():  # of an earlier run, with other images perhaps
            old.unlink()
    folders = root / "training", root / "held_out"
    for folder, chosen in zip(folders, (set(names) - held_out, held_out), strict=True):
        _link({place: file for name in chosen for place, file in images[name].items()}, folder)
    return str(folders[0]), str(folders[1])


def _link(files: Mapping[str, Path], folder: Path) -> None:
    for place, file in files.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to(file.resolve())
        except FileExistsError:
            continue  # a copy of an earlier run
        except OSError:  # no links on this file system, or not for this user
            shutil.copyfile(file, target)
