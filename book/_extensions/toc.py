"""Write ``book/_toc.yml``: the fixed pages, and those of every task and variant of params.yaml.

python book/_extensions/toc.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from eamamba.config import Settings, load_settings
from eamamba.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
TASK_PAGES = {
    "data": "Data",
    "train": "Training",
    "evaluate": "Evaluation",
    "receptive_field": "Receptive field",
}
"""Executed notebook of a task and what its page is called."""

Page = dict[str, Any]


def toc(settings: Settings) -> str:
    """Return the table of contents as Jupyter Book reads it."""
    parts = {
        "The method": [
            _page("method"),
            _page("scan_explorer"),
            _run("scan_orders/scan_orders", "Scan orders"),
        ],
        "The results": [
            _page("claims"),
            _page("glance", _run("photographs/photographs", "Photographs")),
            *_chapters(settings),
            _page("real_pairs"),
            _page("protocols", _run("protocols/protocols", "Rounding and scores")),
            _page(
                "ablations",
                *(
                    _run(f"ablations/{name}/ablation", f"Ablation · {variant.title}")
                    for name, variant in settings.ablations.items()
                ),
                _run("ablation_fields/ablation_fields", "Ablation · receptive fields"),
            ),
            _page("cost", _run("profiling/profiling", "Parameters and FLOPs")),
            _page("speed"),
        ],
        "Use it": [
            _page(name) for name in ("reproduce", "restore_here", "restore", "models", "elsewhere")
        ],
        "Sources": [_page("credits"), _page("references")],
    }
    table = {
        "format": "jb-book",
        "root": "index",
        "parts": [{"caption": caption, "chapters": pages} for caption, pages in parts.items()],
    }
    note = "# Written by book/_extensions/toc.py from params.yaml; do not edit.\n"
    return note + yaml.safe_dump(table, sort_keys=False, allow_unicode=True)


def _chapters(settings: Settings) -> list[Page]:
    """Return a chapter for each that a task names, in the order of the tasks, with its runs."""
    runs: dict[str, list[Page]] = {}
    for name, task in settings.tasks.items():
        if task.chapter is not None:
            runs.setdefault(task.chapter, []).extend(
                _run(f"{name}/{notebook}", f"{title} · {task.title}")
                for notebook, title in TASK_PAGES.items()
            )
    return [_page(f"tasks/{chapter}", *pages) for chapter, pages in runs.items()]


def _page(file: str, *sections: Page) -> Page:
    return {"file": file} | ({"sections": list(sections)} if sections else {})


def _run(notebook: str, title: str) -> Page:
    return {"file": f"results/{notebook}", "title": title}


if __name__ == "__main__":
    write_atomically(ROOT / "book" / "_toc.yml", toc(load_settings(ROOT / "params.yaml")).encode())
