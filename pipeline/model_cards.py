"""Write the cards of the weights in the package from files alone.

    python pipeline/model_cards.py

Sources: the weights, params.yaml, eamamba/cards/notes.yaml, and from results/pretrained the scores
(NAME/metrics.json, real_pairs/summary.csv) and the effect of the weights on images without the
degradation (harm.csv). The output is eamamba/cards/cards.json, which the package includes, and
results/pretrained/cards.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from eamamba import paths
from eamamba.cards import Card, DataSet, Harm, Score, card_markdown, cards_table, facts_of
from eamamba.cards.card import CARDS
from eamamba.config import EAMambaError, load_settings
from eamamba.datasets import PUBLISHED
from eamamba.files import write_atomically
from eamamba.report import protocol_label
from eamamba.report.scores import condition_label

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "pretrained"
COLUMNS = [
    "images",
    "psnr_input_db",
    "psnr_db",
    "ssim_input",
    "ssim",
    "gain_low_db",
    "gain_high_db",
    "worse",
]


def cards(root: Path = ROOT) -> list[Card]:
    """Return the cards of all weights in the package, sorted by name.

    Raises
    ------
    EAMambaError
        If `notes.yaml` lacks a task or a training set.
    """
    files = sorted(paths.PRETRAINED.glob("*.safetensors"))
    return [_card(facts_of(file), root) for file in files]


def _card(facts: Card, root: Path) -> Card:
    notes = yaml.safe_load((root / "eamamba/cards/notes.yaml").read_text(encoding="utf-8"))
    profiles = load_settings(root / "params.yaml", PROFILE)
    named = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["profiles"]
    if facts.name in named:  # weights with their own profile
        profiles = load_settings(root / "params.yaml", facts.name)
    task = facts.task or ""
    settings = profiles.task(task)
    about, own = _note(notes["tasks"], task), notes["weights"].get(facts.name, {})
    known = {
        "title": settings.title,
        "removes": about["removes"],
        "settings": f"params.yaml, profile {settings.profile}, task {task}",
        "started_from": _start(facts.name, facts.started_from or settings.training.initial_weights),
        "curve": _curve(root, facts.name),
        "protocol": protocol_label(settings.evaluation.protocol),
        "data": _data(facts.learnt_from or settings.data.training_set, notes["data_sets"]),
        "scores": tuple(_scores(root, facts.name)),
        "harm": tuple(_harm(root, facts.name)),
        "limits": (*about["limits"], *own.get("limits", ()), *notes["common_limits"]),
    }
    return Card(**facts.model_dump(exclude=set(known)), **known)


def _curve(root: Path, name: str) -> str | None:
    curve = Path("results", PROFILE, name, "training.csv")
    return curve.as_posix() if (root / curve).is_file() else None


def _note(notes: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in notes:
        raise EAMambaError(f"eamamba/cards/notes.yaml: nothing on {name!r}; describe it there")
    return notes[name]


def _start(name: str, initial: str | None) -> str | None:
    return "its earlier weights" if initial == name else initial


def _data(names: Iterable[str], notes: dict[str, Any]) -> tuple[DataSet, ...]:
    return tuple(DataSet(name=name, **_note(notes, name)) for name in names)


def _scores(root: Path, name: str) -> list[Score]:
    """Return the scores of both kinds, each test once."""
    published = _published(root, name)
    known = {score.test for score in published}
    return [*(s for s in _photographs(root, name) if s.test not in known), *published]


def _photographs(root: Path, name: str) -> list[Score]:
    """Return the scores in metrics.json; none if the weights were not evaluated."""
    file = root / "results" / PROFILE / name / "metrics.json"
    if not file.is_file():
        return []
    return [
        Score(
            kind="published sets" if benchmark in PUBLISHED else "degraded photographs",
            test=benchmark,
            condition=condition_label(condition),
            **{key: means.get(key) for key in COLUMNS},
        )
        for benchmark, conditions in json.loads(file.read_text(encoding="utf-8")).items()
        for condition, means in conditions.items()
    ]


def _published(root: Path, name: str) -> list[Score]:
    """Return the scores on published sets of exactly this file."""
    table = root / "results" / PROFILE / "real_pairs" / "summary.csv"
    if not table.is_file():
        return []
    content = (paths.PRETRAINED / f"{name}.safetensors").read_bytes()
    rows = pd.read_csv(table)
    own = rows[rows["weights_md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()]
    return [
        Score(
            kind="published sets",
            test=row["benchmark"],
            condition=condition_label(row["condition"]),
            **{key: row[key] for key in COLUMNS},
        )
        for row in own.to_dict("records")
    ]


def _harm(root: Path, name: str) -> list[Harm]:
    file = root / "results" / PROFILE / "harm.csv"
    if not file.is_file():
        return []
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    rows = table[table["weights"] == name].drop(columns="weights").to_dict("records")
    return [
        Harm(
            exceeds=tuple(str(row.pop("exceeds")).split("; ")) if pd.notna(row["exceeds"]) else (),
            **{key: value for key, value in row.items() if pd.notna(value) and key != "exceeds"},
        )
        for row in rows
    ]


def to_json(made: list[Card]) -> str:
    """Return the content of cards.json."""
    dumped = [card.model_dump(mode="json") for card in made]
    return json.dumps(dumped, indent=1, ensure_ascii=False) + "\n"


def to_markdown(made: list[Card]) -> str:
    """Return the content of cards.md."""
    note = "<!-- Written by pipeline/model_cards.py; do not edit. -->"
    return "\n\n".join([note, "# The weights in the package", cards_table(made),
                        *(card_markdown(card) for card in made)])  # fmt: skip


if __name__ == "__main__":
    made = cards()
    write_atomically(CARDS, to_json(made).encode())
    write_atomically(ROOT / "results" / PROFILE / "cards.md", to_markdown(made).encode())
