"""Data of the page *Before and after*: pictures of the stage `pictures` and their descriptions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from scripted_page import copy_page, write_script

from eamamba.config import Settings
from eamamba.report.photographs import AMPLIFICATION
from eamamba.report.scores import after_comma, protocol_label


def write_before_after(root: Path, settings: Settings, profile: str, target: Path) -> None:
    """Write everything that the page loads.

    Parameters
    ----------
    root : Path
        The project's folder, with ``web/`` and the stage's output in ``results/``:
        ``pictures.csv``, and the pictures that it lists in ``shown/``.
    settings : Settings
        The tasks' titles and protocols.
    profile : str
        Profile whose photographs to show.
    target : Path
        Folder to write to; its contents are replaced.
    """
    source = root / "results" / profile / "pictures"
    copy_page(root, "pictures", target)
    shutil.copytree(source / "shown", target, dirs_exist_ok=True)
    made = pd.read_csv(source / "pictures.csv")
    data = {
        "folder": f"_static/{target.name}/",
        "amplification": AMPLIFICATION,
        "photographs": [_photograph(target / file) for file in made["truth"].unique()],
        "tasks": [
            _task(settings, str(task), rows) for task, rows in made.groupby("task", sort=False)
        ],
    }
    write_script(target / "pictures.js", "self.eamambaPictures", data)


def _photograph(file: Path) -> dict[str, Any]:
    with Image.open(file) as image:
        return {"truth": file.name, "height": image.height, "width": image.width}


def _task(settings: Settings, task: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the page's description of a task, and its pictures by condition."""
    columns = ["input", "restored", "psnr_input_db", "psnr_db"]
    return {
        "title": settings.tasks[task].title,
        "protocol": protocol_label(settings.tasks[task].evaluation.protocol),
        "conditions": [
            {"label": after_comma(str(condition)), "photographs": part[columns].to_dict("records")}
            for condition, part in rows.groupby("condition", sort=False)
        ],
    }
