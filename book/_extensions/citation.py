"""How to cite the paper and where the repository is, from CITATION.cff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PLACEHOLDER = "OWNER"
"""Placeholder in CITATION.cff for the owner of the repository until it is public."""
BRANCH = "main"


def read_citation(root: Path) -> dict[str, Any]:
    """Return ``CITATION.cff``."""
    return yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))


def repository(citation: dict[str, Any]) -> str | None:
    """Return the public address of the repository; None if it is still a placeholder."""
    address = citation["repository-code"]
    return None if PLACEHOLDER in address else address


def citation_words(citation: dict[str, Any], target: Path) -> dict[str, str]:
    """Return the paper's title, authors and DOI for the text, and write how to get the code.

    Parameters
    ----------
    citation : dict
        ``CITATION.cff``.
    target : Path
        Folder for ``clone.md``.
    """
    address = citation["repository-code"]
    text = f"```bash\ngit clone {address}\ncd {address.rpartition('/')[2]}\n```\n"
    if repository(citation) is None:
        text += (
            f"\n`{PLACEHOLDER}` is a placeholder for the account that publishes the repository.\n"
        )
    (target / "clone.md").write_text(text, encoding="utf-8")
    paper = citation["preferred-citation"]
    names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    return {
        "paper_title": paper["title"],
        "paper_authors": f"{', '.join(names[:-1])} and {names[-1]}",
        "paper_doi": f"[doi:{paper['doi']}](https://doi.org/{paper['doi']})",
        "paper_year": str(paper["year"]),
    }


def repository_options(address: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options and context of the HTML theme for links to the repository.

    Parameters
    ----------
    address : str
        Address of the repository, on GitHub.

    Returns
    -------
    options : dict
    context : dict of str
        Includes the address for editing the source of a page. For an executed notebook, that is the
        original in ``notebooks``.
    """
    options = {
        "repository_url": address,
        "repository_branch": BRANCH,
        "use_repository_button": True,
        "use_edit_page_button": True,
    }
    source = (
        "{% if file_name.startswith('results/') %}notebooks/{{ file_name.split('/')[-1] }}"
        "{% else %}book/{{ file_name }}{% endif %}"
    )
    context = {
        "edit_page_url_template": f"{address}/edit/{BRANCH}/{source}",
        "edit_page_provider_name": "GitHub",
    }
    return options, context
