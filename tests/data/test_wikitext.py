# ruff: noqa: E501  (tables of cases)
"""Wikitext becomes the prose that a reader of the page sees"""

from __future__ import annotations

import pytest

from packtrain.data.wiki.names import SOURCES
from packtrain.data.wiki.prose import Prose

CASES = {
    "links": ("the [[cat]]s of [[Rome|the city]], [[wikt:word|words]]", "the cats of the city, words"),
    "categories and files go, in every language": (
        "a[[Category:X]][[Kategorie:X|y]][[Категория:X]][[Datei:b.png|mini|c [[d|e]] f]][[Fichier:x.svg]][[Слика:x]] z",
        "a z",
    ),
    "a link to a category stays as its label": ("see [[:Category:Films|films]]", "see films"),
    "other languages": ("a [[de:Titel]][[zh-min-nan:X]]b", "a b"),
    "templates, nested and torn": ("a {{Infobox\n|x={{y|z}}\n}}b {{torn|c\nd", "a b\nd"),
    "templates of the sentence": (
        "{{lang|fr|la mer}}, {{convert|5|km|mi}}, {{nowrap|1 2}}, {{lang-de|Wort}}, {{circa|1900}}",
        "la mer, 5 km, 1 2, Wort, c. 1900",
    ),
    "chemistry": ("{{Carbon}}<sub>''n''</sub>{{Hydrogen}}<sub>2''n''+2</sub>, {{chem|C|2|H|6}}", "CnH2n+2, C2H6"),
    "French dates and centuries": ("né le {{date|3|mai|1901}} au {{s-|XX|e}}", "né le 3 mai 1901 au XXe siècle"),
    "centuries and measures of Catalan, Portuguese and Italian": (
        "des del {{segle|XIII|s}}, no {{séc|XX}}, di {{TA|892 km²}}",
        "des del segle XIII, no século XX, di 892 km²",
    ),
    "references": ('a<ref name="x">[http://y z]</ref>b<ref name=x/>c<REF>d</REF>e', "abce"),
    "comments": ("a<!-- b -->c<!-- never closed", "ac"),
    "formulas are kept as LaTeX": ("<math>\\frac{{a}}{b}</math> holds", "$\\frac{{a}}{b}$ holds"),
    "code is kept as it is": ("<code>[[x]] {{y}}</code> z", "[[x]] {{y}} z"),
    "nowiki": ("<nowiki>[[a]]</nowiki> b", "[[a]] b"),
    "bold and italic": ("'''a''' ''b'' '''''c''''' don't", "a b c don't"),
    "an elided article keeps its apostrophe": ("L'''Autriche'' et l''''Italie'''", "L'Autriche et l'Italie"),
    "an accent does not make the last letter an article": (
        "'''Берли\u0301н''' (Berlin, {{IPA|x}}; {{y}})",
        "Берли\u0301н (Berlin)",
    ),
    "bold single letters": ("vectors '''v''' and '''w'''", "vectors v and w"),
    "headings are lines": ("a\n== H ==\nb\n=== I ===\nc", "a\n\nH\n\nb\n\nI\n\nc"),
    "empty sections go": ("a\n== H ==\n{{x}}\n== I ==\nb", "a\n\nI\n\nb"),
    "sections of sources go": ("a\n== References ==\n* x\n=== More ===\n* y\n== Life ==\nb", "a\n\nLife\n\nb"),
    "sections of sources in other languages": ("a\n== Einzelnachweise ==\nx\n== Ссылки ==\ny", "a"),
    "lists": ("* a\n** b\n# c\n: d\n*", "- a\n- b\n- c\nd"),
    "tables go": ('a\n{| class="x"\n|-\n| b || c\n{|\n| nested\n|}\n|}\nd', "a\n\nd"),
    "hollow brackets": ("Rome ({{IPA|x}}; ) and ({{x}}, born 2) are", "Rome and (born 2) are"),
    "tags, breaks, entities": ("a<br/>b <span style='x'>c</span>&nbsp;d &amp; e &lt;", "a\nb c d & e <"),
    "external links": ("[http://x.org the site] and [https://y.org]", "the site and"),
    "external link at the end of a caption": ("[[File:a|b [http://x y]]] z", "z"),
    "variants of Serbian": ("-{sr-ec:а; sr-el:a}- -{R|б}-", "sr-ec:а; sr-el:a б"),
    "a tag cannot hide a link": ("[<b>[Category:x]] {<i>{y}}", "Category:x y"),
    "a control character cannot hide a template": ("a \x12{\x12{b}} c", "a b c"),  # found by a hunt
    "hollow brackets cannot hide a link": ("a[()[b", "a[b"),
    "pairs cannot hide a pair": ("a {[[{b", "a {b"),
    "an entity cannot hide a link": ("&#91;[Category:x]]", "Category:x"),
}


@pytest.mark.parametrize("name", CASES)
def test_wikitext_reads_as_its_page(name: str) -> None:
    wikitext, prose = CASES[name]
    assert Prose(skip_sections=SOURCES)(wikitext) == prose


def test_the_dump_names_its_own_namespaces() -> None:
    assert Prose(site_names=frozenset({"bildo"}))("a [[Bildo:x.png|b]]c [[Vikio:x|d]]") == "a c d"


def test_tables_can_be_flattened() -> None:
    table = '{| class="wikitable"\n|+ Members\n! Country !! Year\n|-\n| style="x" | [[Germany]] || 1949<ref>x</ref>\n|-\n|}\nend'
    assert Prose("flatten")(table) == "Members\nCountry | Year\nGermany | 1949\n\nend"


@pytest.mark.parametrize("torn", ["[[" * 30_000, "{{" * 30_000, "{{a|" * 15_000 + "}}" * 15_000, "<ref>" * 12_000, "{|\n" * 20_000,
                                  "[[File:" * 9_000, "'" * 60_000, "<!--" * 15_000, "(" * 60_000, "=" * 60_000, "= " * 30_000,
                                  "{{lang|fr|" * 6_000 + "}}" * 6_000, "[http://" * 7_000, "<math>" * 10_000, "-{" * 30_000])  # fmt: skip
def test_torn_markup_costs_no_more_than_its_length(torn: str) -> None:
    import time

    start = time.process_time()
    assert "[[" not in Prose()(torn)
    assert time.process_time() - start < 2
