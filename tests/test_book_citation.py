"""The book names the authors, leads to every source, and to the repository once that is public."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from citation import citation_words, read_citation, repository, repository_options
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).parents[1]
REFERENCES: dict[str, Entry] = dict(parse_file(str(ROOT / "book" / "references.bib")).entries)
WITHOUT_DOI = {"koschmieder", "cc15", "pyiqa", "basicsr"}
"""A journal of 1924, one whose DOI no source confirmed, and two programs."""


@pytest.mark.parametrize("name", sorted(REFERENCES.keys() - WITHOUT_DOI))
def test_a_reference_has_a_doi(name: str) -> None:
    fields = REFERENCES[name].fields
    assert re.fullmatch(r"10\.\d{4,5}/[^\s{}]+", fields["doi"])
    if preprint := re.search(r"arXiv:(\d{4}\.\d{5})", fields.get("journal", "")):
        assert fields["doi"] == f"10.48550/arXiv.{preprint[1]}"


def test_no_doi_is_given_twice() -> None:
    given = [entry.fields["doi"] for entry in REFERENCES.values() if "doi" in entry.fields]
    assert len(set(given)) == len(given)


def test_the_paper_is_cited_alike_in_both_files(tmp_path: Path) -> None:
    words = citation_words(read_citation(ROOT), tmp_path)
    paper = REFERENCES["eamamba"]
    assert words["paper_authors"].startswith("Yu-Cheng Lin, ")
    assert words["paper_authors"].endswith(" and Chun-Yi Lee")
    assert words["paper_title"] == paper.fields["title"].replace("{", "").replace("}", "")
    assert words["paper_year"] == paper.fields["year"]
    assert f"https://doi.org/{paper.fields['doi']}" in words["paper_doi"]


def with_address(address: str) -> dict[str, Any]:
    return read_citation(ROOT) | {"repository-code": address}


def test_a_placeholder_is_no_address_but_says_so(tmp_path: Path) -> None:
    citation = with_address("https://github.com/OWNER/eamamba")
    assert repository(citation) is None
    citation_words(citation, tmp_path)
    assert "`OWNER` is a placeholder" in (tmp_path / "clone.md").read_text()


def test_a_public_repository_is_linked_and_edited(tmp_path: Path) -> None:
    citation = with_address("https://github.com/someone/eamamba")
    address = repository(citation)
    assert address is not None
    citation_words(citation, tmp_path)
    assert (tmp_path / "clone.md").read_text() == (
        "```bash\ngit clone https://github.com/someone/eamamba\ncd eamamba\n```\n"
    )
    options, context = repository_options(address)
    assert options["use_edit_page_button"]
    page = jinja2.Template(context["edit_page_url_template"])
    sources = {
        "tasks/rain.md": "book/tasks/rain.md",
        "results/derain/evaluate.ipynb": "notebooks/evaluate.ipynb",
    }
    for file, source in sources.items():
        assert page.render(file_name=file) == f"{address}/edit/main/{source}"
        assert (ROOT / source).is_file()
