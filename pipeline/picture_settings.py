"""Write the settings that the pictures of *Before and after* depend on, of all tasks in one file.

    python pipeline/picture_settings.py PROFILE FILE

The stage `pictures` depends on this file instead of a list of tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from eamamba import paths
from eamamba.cards import shipped_cards
from eamamba.config import Settings, load_settings
from eamamba.files import write_atomically

READ = {
    "data": {"degradation", "layout", "benchmarks", "held_out_size"},
    "evaluation": {"protocol", "self_ensemble"},
}


def picture_settings(settings: Settings) -> str:
    """Return, as YAML, the settings of the test of every task with weights in the package."""
    shown = {
        name: task.model_dump(mode="json", include=READ)
        for name, task in settings.tasks.items()
        if name in shipped_cards()
    }
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, default_flow_style=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    chosen = load_settings(paths.project_root() / "params.yaml", arguments.profile)
    write_atomically(arguments.file, picture_settings(chosen).encode())
