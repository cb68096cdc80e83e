"""A small settings file, and reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from eamamba.config import load_settings

MINIMAL: dict[str, Any] = {
    "profile": "smoke",
    "tasks": {"denoise_gaussian": None, "derain": None},
    "profiles": {
        "smoke": {
            "model": {"dim": 16, "mamba_cfg": {"d_state": 4}},
            "data": {"benchmarks": {"Kodak24": "data/Kodak24"}},
            "training": {"stages": [{"patch": 32, "batch": 1, "iterations": 2}]},
            "evaluation": {},
            "tasks": {
                "derain": {
                    "model": {"mamba_cfg": {"scan_count": 4}},
                    "data": {"benchmarks": {"Rain100L": "data/Rain100L"}},
                },
            },
        },
    },
}


def load(tmp_path: Path, content: object, profile: str | None = None) -> Any:
    path = tmp_path / "params.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_settings(path, profile)
