"""The photographs in the repository: whole, credited, and split by original."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parents[1] / "data" / "photographs"
CREDITS = list(csv.DictReader((FOLDER / "CREDITS.csv").read_text(encoding="utf-8").splitlines()))
FREE = {"CC0-1.0", "CC BY-SA 4.0"}


def test_every_photograph_is_credited_and_unchanged() -> None:
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.webp")}
    assert files == {row["file"] for row in CREDITS}
    for row in CREDITS:
        content = (FOLDER / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"], row["file"]
        assert row["licence"] in FREE
        assert row["source"].startswith("https://")
        with Image.open(FOLDER / row["file"]) as photograph:
            assert photograph.size == (352, 352)


def test_no_original_is_on_both_sides() -> None:
    sides = {"training": set[str](), "held_out": set[str]()}
    for row in CREDITS:
        sides[row["file"].split("/")[0]].add(row["original"])
    assert not sides["training"] & sides["held_out"]
    assert [len([r for r in CREDITS if r["file"].startswith(side)]) for side in sides] == [160, 40]
