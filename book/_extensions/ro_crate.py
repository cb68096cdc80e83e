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
    authors = [
        {"@id": f"#author-{number}", "@type": "Organization", "name": author["name"]}
        for number, author in enumerate(citation["authors"], start=1)
    ]
    licence = LICENCES + citation["license"]
    root = _root(citation, authors, files) | {
        "license": _to(licence),
        "citation": _to(paper[0]["@id"]),
        "mentions": [_to(one["@id"]) for one in found],
    }
    terms = {"@id": licence, "@type": "CreativeWork", "name": citation["license"]}
    terms |= {"description": "The licence of the code and the text", "url": licence}
    about = {"@id": METADATA, "@type": "CreativeWork", "about": _to("./")}
    about |= {"conformsTo": _to(SPECIFICATION)}
    graph = [about, root, terms, *authors, *paper, *files, *found]
    text = json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
    (site / METADATA).write_text(text + "\n", encoding="utf-8")


def _root(citation: Mapping[str, Any], authors: list[Entity], files: list[Entity]) -> Entity:
    """Return what the book is as a whole."""
    by = [_to(author["@id"]) for author in authors]
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": citation["title"],
        "description": f"{citation['abstract']} Photographs, and figures made from them, have the "
        "licences that credits.html names.",
        "datePublished": citation["date-released"],
        "version": str(citation["version"]),
        "keywords": ", ".join(citation["keywords"]),
        "author": by[0] if len(by) == 1 else by,
        "publisher": by[0],
        "hasPart": [_to(file["@id"]) for file in files],
    }


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
