"""What the page *Reproduced elsewhere* loads: its script, and the committed scores."""

from __future__ import annotations

import json
from pathlib import Path

from scripted_page import copy_page, write_script

from eamamba.config import Settings


def write_compare_page(root: Path, settings: Settings, target: Path) -> None:
    """Write all that the page loads.

    Parameters
    ----------
    root : Path
        The project's folder, with ``web/`` and ``results/``.
    settings : Settings
        Those of the profile whose scores visitors compare with.
    target : Path
        Folder to write to; what it held is replaced.
    """
    copy_page(root, "compare", target)
    names = [*settings.tasks, *(f"ablations/{name}" for name in settings.ablations)]
    results = root / "results" / settings.profile
    scores = {
        name: json.loads((results / name / "metrics.json").read_text(encoding="utf-8"))
        for name in names
    }
    committed = {"profile": settings.profile, "scores": scores}
    write_script(target / "committed.js", "self.eamambaCommitted", committed)
