"""What Sphinx and the theme leave to do in the HTML: weight, descriptions, accessibility."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from PIL import Image
from social_card import CARD, CARD_SHOWS, HEIGHT, WIDTH
from sphinx.errors import SphinxError

ICON_SCRIPT = Path("scripts") / "fontawesome.js"
"""Draws again, as SVG, what the font shows already; 1.5 MB."""
ICON_STYLE = Path("styles") / "pydata-sphinx-theme.css"
ICON_FONTS = Path("vendor") / "fontawesome" / "webfonts"
ICON_RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"[^"]*"\}')
ICON = re.compile(r"\bfa-[a-z0-9-]+")
CHARACTER = re.compile(r"\\([0-9a-f]{4})\b")
PRIVATE_USE = re.compile("[\ue000-\uf8ff]")
COMPRESSED_FONT = re.compile(r'url\([^)]*\.woff2\) ?format\("woff2"\),')
IMAGE = re.compile(r'<img (?P<rest>[^>]*\bsrc="(?P<source>[^":?]+\.(?:png|jpg))"[^>]*)>')
LONGEST_DESCRIPTION = 160


def remove_thebe(app: Any, _config: Any) -> None:
    """Undo what Jupyter Book always adds: a kernel on somebody else's server."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [one for one in app.registry.css_files if "thebe" not in one[0]]


def mend_page(
    app: Any, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Describe a page in its head, size its pictures, and load MathJax only for formulas."""
    if doctree is None:
        return
    if paragraph := next(doctree.findall(nodes.paragraph), None):
        text = html.escape(_shorten(" ".join(paragraph.astext().split())), quote=True)
        title = html.escape(nodes.Text(context["title"]).astext(), quote=True)
        context["metatags"] += f'\n<meta name="description" content="{text}"/>'
        described = {"title": title, "description": text, "type": "article"}
        for name, value in (described | _card(app, page, context)).items():
            context["metatags"] += f'\n<meta property="og:{name}" content="{value}"/>'
        context["metatags"] += '\n<meta name="twitter:card" content="summary_large_image"/>'
    # Sphinx loads it for the formulas of the pages below in the table of contents, too.
    if not any(doctree.findall(nodes.math)) and not any(doctree.findall(nodes.math_block)):
        scripts = context["script_files"]
        scripts[:] = [one for one in scripts if "mathjax" not in str(one.filename).lower()]
    files = {Path(name).name: Path(app.srcdir) / path for path, name in app.builder.images.items()}
    body = IMAGE.sub(lambda found: _sized(found, files), context["body"])
    # A list has items; docutils gives them a role that no longer counts as one.
    context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def _card(app: Any, page: str, context: dict[str, Any]) -> dict[str, str]:
    """Return what links to a page show: the card, by its full address if that is known."""
    base = app.config.html_baseurl.rstrip("/")
    image = f"{base}/{CARD.as_posix()}" if base else context["pathto"](CARD.as_posix(), 1)
    size = {"image:width": str(WIDTH), "image:height": str(HEIGHT), "image:alt": CARD_SHOWS}
    place = {"url": f"{base}/{app.builder.get_target_uri(page)}"} if base else {}
    return {"site_name": app.config.html_title or app.config.project, "image": image} | size | place


def _shorten(text: str) -> str:
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    return text[: LONGEST_DESCRIPTION - 2].rsplit(" ", 1)[0] + " …"


def _sized(found: re.Match[str], files: dict[str, Path]) -> str:
    """Load a picture when it comes near, into the place that is kept for it."""
    file = files.get(Path(found["source"]).name)
    if file is None or "loading=" in found["rest"]:
        return found[0]
    with Image.open(file) as picture:
        width, height = picture.size
    return f'<img loading="lazy" width="{width}" height="{height}" {found["rest"]}>'


def keep_shown_icons(app: Any, exception: Exception | None) -> None:
    """Take the icons that no page shows out of the theme: of two thousand, some twenty stay."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / ICON_SCRIPT).write_text("", encoding="utf-8")
    users = [*Path(app.outdir).rglob("*.html"), *static.rglob("*.js")]
    shown = {name for file in users for name in ICON.findall(file.read_text(encoding="utf-8"))}
    everything = (static / ICON_STYLE).read_text(encoding="utf-8")
    if not ICON_RULE.search(everything):
        raise SphinxError(f"{ICON_STYLE} names its icons otherwise than {__file__} expects")
    style = ICON_RULE.sub(
        lambda rule: rule[0] if shown & set(ICON.findall(rule[0])) else "", everything
    )
    (static / ICON_STYLE).write_text(COMPRESSED_FONT.sub("", style), encoding="utf-8")
    styles = "".join(file.read_text(encoding="utf-8") for file in static.rglob("*.css"))
    characters = [int(digits, 16) for digits in CHARACTER.findall(styles)]
    characters += [ord(letter) for letter in PRIVATE_USE.findall(styles)]
    for file in sorted((static / ICON_FONTS).iterdir()):
        if file.suffix == ".ttf":
            _keep_characters(file, characters)
        else:
            file.unlink()


def _keep_characters(font: Path, characters: list[int]) -> None:
    with TTFont(font, recalcTimestamp=False) as letters:
        subsetter = Subsetter()
        subsetter.populate(unicodes=characters)
        subsetter.subset(letters)
        letters.save(font)
