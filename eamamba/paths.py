"""Locations of the project's files; the only place that names folders."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PRETRAINED = PACKAGE / "pretrained"


def project_root() -> Path:
    """Return the folder that holds ``params.yaml``.

    ``EAMAMBA_ROOT`` if set, else the nearest folder at or above the working
    directory with a ``params.yaml``, else the working directory itself.
    """
    if chosen := os.environ.get("EAMAMBA_ROOT"):
        return Path(chosen)
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "params.yaml").is_file()), here)


def settings_file() -> Path:
    """Return ``params.yaml`` of the project or, outside one, the copy in the package."""
    own = project_root() / "params.yaml"
    copies = (own, PACKAGE / "params.yaml", PACKAGE.parent / "params.yaml")
    return next((path for path in copies if path.is_file()), own)


def dataset(place: str) -> Path:
    """Return the location of a data set named in the settings.

    If ``EAMAMBA_DATA`` is set, ``data/NAME`` means ``NAME`` in that folder, unless only the
    project has it. Any other relative path starts at the project's folder. DVC runs queued
    experiments in a copy of the repository inside ``.dvc``, which lacks ignored files: those are
    taken from the original repository.
    """
    path, elsewhere = Path(place), os.environ.get("EAMAMBA_DATA")
    root = project_root()
    originals = [folder.parent for folder in root.resolve().parents if folder.name == ".dvc"]
    possible = [folder / path for folder in (root, *originals)]
    if elsewhere and path.parts[:1] == ("data",):
        possible.insert(0, Path(elsewhere, *path.parts[1:]))
    return next((folder for folder in possible if folder.exists()), possible[0])


def results(profile: str, task: str) -> Path:
    """Return the folder of one task's results under one profile."""
    return project_root() / "results" / profile / task


def notebook_output(profile: str, task: str) -> Path:
    """Return the folder that a notebook writes to.

    ``EAMAMBA_OUTPUT`` if set, as `pipeline/run.py` does: the folder of the executed notebook.
    Else a scratch folder that Git ignores, so that a notebook tried out in Jupyter never
    replaces committed results.
    """
    if chosen := os.environ.get("EAMAMBA_OUTPUT"):
        return Path(chosen)
    return results("scratch", profile) / task


def trained_model(profile: str, task: str) -> Path:
    """Return the weights file that the pipeline writes for a task."""
    return results(profile, task) / "model.safetensors"


def weights_folders() -> list[Path]:
    """Return the folders to search for weights by name, in this order; they need not exist.

    The folder that ``EAMAMBA_WEIGHTS`` names if it is set, the package, and ``weights`` in the
    user's cache.
    """
    chosen = os.environ.get("EAMAMBA_WEIGHTS")
    return [*([Path(chosen)] if chosen else []), PRETRAINED, user_cache() / "weights"]


def user_cache() -> Path:
    """Return the folder for files that may be deleted at any time; it may be missing or read-only.

    ``eamamba`` in ``XDG_CACHE_HOME``, or in ``.cache`` of the home folder.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    return Path(chosen or os.path.expanduser("~/.cache"), "eamamba")
