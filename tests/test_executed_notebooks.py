"""Executed notebooks show the pictures beside them without storing them a second time."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from run import show_by_name

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("results/*/**/*.ipynb"))


def picture(path: Path, value: int) -> str:
    """Write a gray picture and return its bytes as a notebook stores them."""
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    return base64.b64encode(path.read_bytes()).decode()


def test_only_pictures_that_lie_beside_the_notebook_are_shown_by_name(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    one, two = picture(tmp_path / "one_more.png", 10), picture(tmp_path / "two.jpg", 20)
    other = picture(elsewhere / "other.png", 30)
    shown = [{"image/png": one}, {"image/jpeg": two}, {"image/png": other}, {}]
    outputs = [
        new_output("display_data", data | {"text/plain": "<Image>"}, metadata=dict.fromkeys(data))
        for data in shown
    ]
    outputs.append(new_output("stream", text="text"))
    notebook = show_by_name(new_notebook(cells=[new_code_cell(outputs=outputs)]), tmp_path)
    found = notebook.cells[0].outputs
    assert [output.get("data", {}) for output in found] == [
        {"text/markdown": "![one more](one_more.png)", "text/plain": "<Image>"},
        {"text/markdown": "![two](two.jpg)", "text/plain": "<Image>"},
        {"image/png": other, "text/plain": "<Image>"},
        {"text/plain": "<Image>"},
        {},
    ]
    assert [list(output.get("metadata", {})) for output in found] == [[], [], ["image/png"], [], []]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_notebooks_store_no_picture_again(name: str) -> None:
    path = ROOT / name
    notebook = nbformat.read(path, as_version=4)
    stored = nbformat.writes(notebook)
    assert nbformat.writes(show_by_name(notebook, path.parent)) == stored, f"run {name} again"
