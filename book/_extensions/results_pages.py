"""Sphinx extension that adds the results of the chosen profile and keeps the pages offline."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.errors import SphinxError

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
# The book shows the results of this checkout, so it also uses its code.
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(FOLDER)]

from artifact import write_artifact  # noqa: E402
from before_after import write_before_after  # noqa: E402
from browser_page import write_browser_page  # noqa: E402
from citation import citation_words, read_citation, repository, repository_options  # noqa: E402
from compare_page import write_compare_page  # noqa: E402
from html_pages import keep_shown_icons, mend_page, remove_thebe  # noqa: E402
from pages import write_pages  # noqa: E402
from provenance import Results, add_lines  # noqa: E402
from ro_crate import write_crate  # noqa: E402
from scan_explorer import write_scan_explorer  # noqa: E402
from social_card import CARD, write_social_card  # noqa: E402

from eamamba.config import load_settings  # noqa: E402

CARD_TEXT = """\
An image restoration network
of ICCV {paper_year}, to run and check.

{claims_total} claims of the paper:
{claims_exactly} reproduced exactly,
{claims_in_kind} in kind, {claims_not_confirmed} contradicted,
{claims_open} open."""
"""Beside the photograph on the card, which is shown with links to the book."""
DOWNLOADS = "_downloads/"
"""Where Sphinx puts the files that pages offer."""
REMOTE_SOURCE = re.compile(
    r'<(?:script|link(?![^>]*rel="canonical")|img|iframe|source)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]+)'
)


def fill_results(app: Any, config: Any) -> None:
    """Fill ``book/results``, pass numbers and names to MyST, and find the origin of results."""
    target = Path(app.srcdir) / "results"
    words, citation = write_pages(ROOT, target), read_citation(ROOT)
    config.myst_substitutions = words | citation_words(citation, target)
    write_artifact(ROOT, target)
    address = repository(citation)
    app.results_known = Results(ROOT, words["profile"], address)
    config.html_theme_options["extra_footer"] = app.results_known.age()
    if address:
        options, context = repository_options(address)
        config.html_theme_options |= options
        config.html_context |= context


def add_interactive_pages(app: Any, exception: Exception | None) -> None:
    """Write the data of the interactive pages beside the pages."""
    if exception is None and app.builder.format == "html":
        static = Path(app.outdir) / "_static"
        write_browser_page(ROOT, static / "restore")
        write_scan_explorer(ROOT, static / "scans")
        settings = load_settings(ROOT / "params.yaml", app.results_known.profile)
        write_compare_page(ROOT, settings, static / "compare")
        write_social_card(
            ROOT / "results" / app.results_known.profile / "pictures",
            "EAMamba,\nreproduced",
            CARD_TEXT.format(**app.config.myst_substitutions),
            Path(app.outdir) / CARD,
        )
        write_before_after(ROOT, settings, app.results_known.profile, static / "pictures")


def add_crate(app: Any, exception: Exception | None) -> None:
    """Write the metadata of the whole book, for machines."""
    if exception is not None or app.builder.format != "html":
        return
    claims = json.loads((Path(app.srcdir) / "results" / "claims.json").read_text(encoding="utf-8"))
    evidence = {
        claim["file"]: DOWNLOADS + app.env.dlfiles[f"../{claim['file']}"][1]
        for claim in claims.values()
    }
    write_crate(read_citation(ROOT), claims, evidence, Path(app.outdir))


def check_offline(app: Any, exception: Exception | None) -> None:
    """Fail if a page loads anything from the network."""
    if exception is not None or app.builder.format != "html":
        return
    for page in sorted(Path(app.outdir).rglob("*.html")):
        if remote := REMOTE_SOURCE.findall(page.read_text(encoding="utf-8")):
            raise SphinxError(f"{page.relative_to(app.outdir)} loads {remote[0]} from the network")


def setup(app: Any) -> dict[str, bool]:
    """Register the hooks; `fill_results` runs before the table of contents seeks files (900)."""
    app.connect("config-inited", fill_results, priority=100)
    app.connect("doctree-read", add_lines, priority=100)  # before files to download are collected
    app.connect("build-finished", add_interactive_pages)
    app.connect("config-inited", remove_thebe)
    app.connect("html-page-context", mend_page, priority=900)
    app.connect("build-finished", keep_shown_icons)
    app.connect("build-finished", check_offline)
    app.connect("build-finished", add_crate)  # after all that changes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
