"""The whole book, built and read: the same bytes each time, light, accessible, fit for a phone."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import in_browser, serve, visit

ROOT = Path(__file__).parents[1]
CONTENTS = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
PAGES = ["index", "search", *re.findall(r"file: (\S+)", CONTENTS)]
PARTS = 6
"""The pages are read in so many tests, none of which takes long."""
MOST_BYTES = 1_000_000
WORDS = {
    "Hilbert": "Method · scan orders",
    "rain": "Removing rain",
    "circle of confusion": "Removing defocus blur",
    "airlight": "Removing haze",
    "homography": "Removing motion blur",
    "demosaicing": "Removing sensor noise",
    "pixel shuffling": "Light super-resolution",
    "receptive field": "Receptive field · rain",
    "onnxruntime": "Use it elsewhere",
    "make reproduce": "Reproduce it yourself",
}
"""What a reader looks for, and a page where it is."""

pytestmark = pytest.mark.slow


def build(folder: Path) -> Path:
    """Build the book in a copy of its folder, with the rest of the project as it is here."""
    made_here = shutil.ignore_patterns("_build", "results", "__pycache__")
    shutil.copytree(ROOT / "book", folder / "book", ignore=made_here)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for path in ROOT.iterdir():
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    before = {path: path.read_bytes() for path in folder.glob("book/**/*") if path.is_file()}
    command = [folder / "scripts" / "book"]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert {path: path.read_bytes() for path in before} == before, "a tracked file has changed"
    return folder / "book" / "_build" / "html"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve(site) as root:
        yield f"{root}/index.html"


def test_the_same_results_give_the_same_bytes(site: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    files, others = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (site, again)
    )
    assert files == others
    _, different, unread = filecmp.cmpfiles(site, again, files, shallow=False)
    assert not different + unread


@in_browser
@pytest.mark.parametrize("part", range(PARTS))
def test_pages_are_quiet_accessible_and_fit_a_phone(part: int, address: str) -> None:
    pages = [f"{name}.html" for name in PAGES[part::PARTS]]
    assert visit("book.mjs", address, "pages", *pages)["wrong"] == []


@in_browser
def test_the_first_page_is_light(address: str) -> None:
    assert visit("book.mjs", address, "weight")["bytes"] <= MOST_BYTES


@in_browser
def test_search_finds_what_readers_look_for(address: str) -> None:
    hits = visit("book.mjs", address, "search", *WORDS)["hits"]
    assert {word: page for word, page in WORDS.items() if page not in hits[word]} == {}, hits
