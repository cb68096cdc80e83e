"""Write ``book/_toc.yml``: the chapters, followed by the runs of every task and variant.

python book/_extensions/toc.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from runs import runs

from eamamba.config import Settings, load_settings
from eamamba.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]

Page = dict[str, Any]


def toc(settings: Settings) -> str:
    """Return the table of contents as Jupyter Book reads it."""
    tasks = settings.tasks.values()
    chapters = dict.fromkeys(f"tasks/{task.chapter}" for task in tasks if task.chapter is not None)
    results = ["claims", "glance", "before_after", *chapters, "real_pairs", "protocols"]
    parts = {
        "The method": _pages("method", "scan_explorer"),
        "The results": _pages(*results, "ablations", "cost", "speed"),
        "Use it": [
            *_pages("reproduce", "reproduced", "artifact", "train"),
            *_pages("restore_here", "restore", "own_images", "models", "elsewhere"),
        ],
        "Sources": [
            *_pages("credits", "references"),
            # Last, so that chapters follow each other; the sidebar shows only the first level.
            {"file": "runs", "sections": _pages(*(run.page for run in runs(settings)))},
        ],
    }
    table = {
        "format": "jb-book",
        "root": "index",
        "parts": [{"caption": caption, "chapters": pages} for caption, pages in parts.items()],
    }
    note = "# Written by book/_extensions/toc.py from params.yaml; do not edit.\n"
    return note + yaml.safe_dump(table, sort_keys=False, allow_unicode=True)


def _pages(*files: str) -> list[Page]:
    return [{"file": file} for file in files]


if __name__ == "__main__":
    write_atomically(ROOT / "book" / "_toc.yml", toc(load_settings(ROOT / "params.yaml")).encode())
