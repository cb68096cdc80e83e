"""What the pages with scripts of their own have in common."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path


def copy_page(root: Path, name: str, target: Path) -> None:
    """Replace a folder with the scripts and styles of a page, and the styles that all pages share.

    Parameters
    ----------
    root : Path
        The project's folder, with ``web/``.
    name : str
        The page's folder in ``web/``.
    target : Path
        Folder to write to; its contents are replaced.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "web" / name, target)
    shutil.copyfile(root / "web" / "controls.css", target / "controls.css")


def as_base64(content: bytes) -> str:
    """Return bytes as text for scripts."""
    return base64.b64encode(content).decode("ascii")


def write_script(path: Path, name: str, value: object) -> None:
    """Write a script that sets a variable: pages opened as files cannot fetch data."""
    path.write_text(f"{name} = {json.dumps(value)};\n", encoding="utf-8")
