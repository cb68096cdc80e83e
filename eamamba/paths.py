"""Where the project's files are; the only place that names folders."""

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


def dataset(place: str) -> Path:
    """Return where a data set of the settings lies.

    ``data/NAME`` is ``NAME`` in the folder that ``EAMAMBA_DATA`` names, if it is set; any other
    relative path starts at the project's folder.
    """
    path, elsewhere = Path(place), os.environ.get("EAMAMBA_DATA")
    if elsewhere and path.parts[:1] == ("data",):
        return Path(elsewhere, *path.parts[1:])
    return project_root() / path


def results(profile: str, task: str) -> Path:
    """Return the folder of one task's results under one profile."""
    return project_root() / "results" / profile / task


def trained_model(profile: str, task: str) -> Path:
    """Return the weights file that the pipeline writes for a task."""
    return results(profile, task) / "model.safetensors"


def user_cache() -> Path:
    """Return the folder for what may be deleted at any time; it need not exist or be writable.

    ``eamamba`` in ``XDG_CACHE_HOME``, or in ``.cache`` of the home folder.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    return Path(chosen or os.path.expanduser("~/.cache"), "eamamba")
