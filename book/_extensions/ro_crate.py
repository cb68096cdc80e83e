"""Metadata of the built book as an RO-Crate: the claims and their evidence, for machines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METADATA = "ro-crate-metadata.json"
CONTEXT, SPECIFICATION = "https://w3id.org/ro/crate/1.2/context", "https://w3id.org/ro/crate/1.2"
LICENCES = "https://spdx.org/licenses/"
DOIS = "https://doi.org/"
PAGES = {
    "index.html": "The start page of the book",
    "claims.html": "What the paper claims, and what was found here",
    "credits.html": "Credits and licences of the photographs",
}
FORMATS = {".csv": "text/csv", ".json": "application/json", ".html": "text/html"}
Entity = dict[str, Any]


def write_crate(
    citation: Mapping[str, Any],
    claims: Mapping[str, Mapping[str, str]],
    evidence: Mapping[str, str],
    site: Path,
) -> None:
    """Write the metadata to the root of the built book.

    Parameters
    ----------
    citation : mapping
        ``CITATION.cff``.
    claims : mapping
        As `claims_pages.told` returns them.
    evidence : mapping
        Path of each evidence file in the repository -> its path in ``site``.
    site : Path
        Folder of the built book.
    """
    paper = _paper(citation["preferred-citation"])
    files = [
        _file(site, path, name, f"Evidence on: {', '.join(_rest_on(name, claims))}")
        for name, path in evidence.items()
    ]
    files += [_file(site, path, path, about) for path, about in PAGES.items()]
    found = [_claim(name, claim, evidence, paper[0]) for name, claim in claims.items()]
    described = [*files, *found]
    authors = [
        {"@id": f"#author-{number}", "@type": "Organization", "name": author["name"]}
        for number, author in enumerate(citation["authors"], start=1)
    ]
    by = [_to(one["@id"]) for one in authors]
    licence = LICENCES + citation["license"]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": citation["title"],
        "description": f"{citation['abstract']} Photographs, and figures made from them, have the "
        "licences that credits.html names.",
        "datePublished": citation["date-released"],
        "version": str(citation["version"]),
        "keywords": ", ".join(citation["keywords"]),
        "license": _to(licence),
        "author": by[0] if len(by) == 1 else by,
        "publisher": by[0],
        "citation": _to(paper[0]["@id"]),
        "hasPart": [_to(one["@id"]) for one in files],
        "mentions": [_to(one["@id"]) for one in found],
    }
    about = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": _to(SPECIFICATION),
        "about": _to("./"),
    }
    terms = {"@id": licence, "@type": "CreativeWork", "name": citation["license"]}
    terms |= {"description": "The licence of the code and the text", "url": licence}
    graph = [about, root, terms, *authors, *paper, *described]
    text = json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
    (site / METADATA).write_text(text + "\n", encoding="utf-8")


def _to(identifier: str) -> Entity:
    return {"@id": identifier}


def _paper(paper: Mapping[str, Any]) -> list[Entity]:
    """Return the paper, and after it its authors."""
    people = [
        {
            "@id": f"#paper-author-{number}",
            "@type": "Person",
            "name": f"{author['given-names']} {author['family-names']}",
            "givenName": author["given-names"],
            "familyName": author["family-names"],
        }
        for number, author in enumerate(paper["authors"], start=1)
    ]
    article = {
        "@id": DOIS + paper["doi"],
        "@type": "ScholarlyArticle",
        "name": paper["title"],
        "author": [_to(person["@id"]) for person in people],
        "datePublished": str(paper["year"]),
    }
    return [article, *people]


def _rest_on(file: str, claims: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [claim["title"] for claim in claims.values() if claim["file"] == file]


def _file(site: Path, path: str, name: str, about: str) -> Entity:
    content = (site / path).read_bytes()
    return {
        "@id": path,
        "@type": "File",
        "name": name,
        "description": about,
        "encodingFormat": FORMATS[Path(path).suffix],
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _claim(
    name: str, claim: Mapping[str, str], evidence: Mapping[str, str], paper: Entity
) -> Entity:
    """Return a claim of the paper with its state here, its evidence and how to check it."""
    return {
        "@id": f"#claim-{name}",
        "@type": "Claim",
        "name": claim["title"],
        "text": claim["claim"],
        "description": f"In the paper: {claim['paper']}. Here: {claim['ours']}. "
        f"To check it: {claim['command']}",
        "creativeWorkStatus": claim["state"],
        "firstAppearance": _to(paper["@id"]),
        "isBasedOn": _to(evidence[claim["file"]]),
    }
