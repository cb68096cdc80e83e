"""The metadata of the built book describes the files that are there, and every claim."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from citation import read_citation
from claims import read_claims
from ro_crate import METADATA, PAGES, write_crate

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built book with the metadata, in which all claims rest on one file."""
    for page in PAGES:
        (tmp_path / page).write_text("page", encoding="utf-8")
    (tmp_path / "evidence.csv").write_text("x\n", encoding="utf-8")
    claims = {
        name: {key: claim[key] for key in ("title", "claim", "state", "command")}
        | {"file": "results/evidence.csv", "paper": "1 dB", "ours": "2 dB"}
        for name, claim in read_claims(ROOT).items()
    }
    write_crate(read_citation(ROOT), claims, {"results/evidence.csv": "evidence.csv"}, tmp_path)
    return tmp_path


def references(value: Any) -> set[str]:
    """Everything that a part of the metadata refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if isinstance(value, dict):
        own = {value["@id"]} if set(value) == {"@id"} else set()
        return own.union(*map(references, value.values()))
    return set()


def test_the_metadata_describe_files_claims_and_the_paper(site: Path) -> None:
    graph = json.loads((site / METADATA).read_text(encoding="utf-8"))["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    unknown = {one for one in references(graph) if one not in entities}
    assert unknown == {"https://w3id.org/ro/crate/1.2"}
    root = entities["./"]
    assert {"name", "description", "datePublished", "license", "author"} <= set(root)
    for part in root["hasPart"]:
        described = entities[part["@id"]]
        content = (site / part["@id"]).read_bytes()
        assert described["sha256"] == hashlib.sha256(content).hexdigest()
    claims = [entity for entity in graph if entity["@type"] == "Claim"]
    assert len(claims) == len(read_claims(ROOT))
    assert claims[0]["isBasedOn"] == {"@id": "evidence.csv"}
    assert claims[0]["description"].startswith("In the paper: 1 dB. Here: 2 dB. To check it: dvc")
