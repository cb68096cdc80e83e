"""What the book's extension mends in the HTML that Sphinx and the theme make."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._g_l_y_f import Glyph
from html_pages import ICON_FONTS, ICON_SCRIPT, ICON_STYLE, keep_shown_icons, mend_page
from PIL import Image
from social_card import write_social_card
from sphinx.errors import SphinxError

ROOT = Path(__file__).parents[1]


def page(folder: Path, text: str, *more: nodes.Node, base: str = "") -> dict[str, object]:
    """Return the context of a page with a paragraph and a picture, after mending."""
    Image.new("RGB", (30, 20)).save(folder / "one.png")
    builder = SimpleNamespace(
        images={"one.png": "one7.png"}, get_target_uri=lambda name: f"{name}.html"
    )
    document = new_document("page")
    document += [nodes.paragraph(text=text), *more]
    scripts = [SimpleNamespace(filename=name) for name in ("book.js", "mathjax/tex-svg.js", None)]
    body = '<img alt="one" src="../_images/one7.png" /><img src="data:image/png;base64,A" />'
    context = {"title": "A <b>", "metatags": "", "script_files": scripts, "body": body}
    context["pathto"] = lambda path, _: f"../{path}"
    config = SimpleNamespace(html_baseurl=base, html_title="The book", project="P")
    app = SimpleNamespace(srcdir=folder, builder=builder, config=config)
    mend_page(app, "page", "page.html", context, document)
    return context


def test_a_page_is_described_by_its_first_sentence(tmp_path: Path) -> None:
    head = page(tmp_path, 'Removes "rain".')["metatags"]
    assert '<meta name="description" content="Removes &quot;rain&quot;."/>' in head
    assert '<meta property="og:title" content="A &lt;b&gt;"/>' in head
    long = page(tmp_path, "word " * 100)["metatags"]
    assert 'word …"/>' in long


def test_a_link_to_a_page_shows_the_card(tmp_path: Path) -> None:
    head = page(tmp_path, "Text.")["metatags"]
    assert '<meta property="og:image" content="../_static/card.jpg"/>' in head
    assert '<meta property="og:image:width" content="1200"/>' in head
    assert '<meta name="twitter:card" content="summary_large_image"/>' in head
    assert "og:url" not in head
    head = page(tmp_path, "Text.", base="https://example.org/book/")["metatags"]
    assert 'og:image" content="https://example.org/book/_static/card.jpg"/>' in head
    assert 'og:url" content="https://example.org/book/page.html"/>' in head


def test_the_card_is_of_the_size_that_is_asked_for_and_light(tmp_path: Path) -> None:
    write_social_card(ROOT / "results" / "laptop" / "pictures", "A\nB", "C", tmp_path / "c.jpg")
    assert (tmp_path / "c.jpg").stat().st_size <= 200_000
    with Image.open(tmp_path / "c.jpg") as card:
        assert card.size == (1200, 630)


def test_a_picture_states_its_size_and_is_loaded_when_it_comes_near(tmp_path: Path) -> None:
    body = page(tmp_path, "text")["body"]
    assert (
        '<img loading="lazy" width="30" height="20" alt="one" src="../_images/one7.png" />' in body
    )
    assert '<img src="data:image/png;base64,A" />' in body


@pytest.mark.parametrize("formula", [nodes.math(text="x"), nodes.math_block(text="x")])
def test_mathjax_is_loaded_where_there_are_formulas(tmp_path: Path, formula: nodes.Node) -> None:
    def loaded(context: dict[str, object]) -> bool:
        return any("mathjax" in str(one.filename) for one in context["script_files"])

    assert loaded(page(tmp_path, "text", formula))
    assert not loaded(page(tmp_path, "text"))


def write_theme(folder: Path) -> SimpleNamespace:
    """Write a site with two icons in a font, of which its page shows one."""
    static = folder / "_static"
    for file in (ICON_SCRIPT, ICON_STYLE, ICON_FONTS / "a.woff2"):
        (static / file).parent.mkdir(parents=True, exist_ok=True)
        (static / file).write_text("icons", encoding="utf-8")
    builder = FontBuilder(1000)
    names = [".notdef", "sun", "moon"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0xF185: "sun", 0xF186: "moon"})
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (500, 0)))
    builder.setupHorizontalHeader()
    builder.setupPost()
    builder.save(static / ICON_FONTS / "a.ttf")
    rules = '.fa-sun:before,.fa-day:before{content:"\\f185"}.fa-moon:before{content:"\\f186"}'
    fonts = 'url(a.woff2) format("woff2"),url(a.ttf) format("truetype")'
    style = f"@font-face{{src:{fonts}}}{rules}p{{color:red}}"
    (static / ICON_STYLE).write_text(style, encoding="utf-8")
    (folder / "index.html").write_text('<i class="fa-solid fa-day"></i>', encoding="utf-8")
    return SimpleNamespace(outdir=folder, builder=SimpleNamespace(format="html"))


def test_icons_that_no_page_shows_are_left_out(tmp_path: Path) -> None:
    keep_shown_icons(write_theme(tmp_path), None)
    static = tmp_path / "_static"
    style = (static / ICON_STYLE).read_text(encoding="utf-8")
    assert "fa-day" in style
    assert "color:red" in style
    assert "fa-moon" not in style
    assert "woff2" not in style
    assert set(TTFont(static / ICON_FONTS / "a.ttf").getBestCmap()) == {0xF185}
    assert [file.name for file in (static / ICON_FONTS).iterdir()] == ["a.ttf"]
    assert not (static / ICON_SCRIPT).read_text(encoding="utf-8")


def test_a_second_build_in_the_same_folder_finds_the_icons(tmp_path: Path) -> None:
    app = write_theme(tmp_path)
    keep_shown_icons(app, None)
    keep_shown_icons(app, None)
    assert "fa-day" in (tmp_path / "_static" / ICON_STYLE).read_text(encoding="utf-8")


def test_another_theme_is_noticed(tmp_path: Path) -> None:
    app = write_theme(tmp_path)
    (tmp_path / "_static" / ICON_STYLE).write_text("p{color:red}", encoding="utf-8")
    with pytest.raises(SphinxError, match="names its icons otherwise"):
        keep_shown_icons(app, None)
