# ruff: noqa: E501  (tables of cases)
"""Dumps of any compression and encoding, whole and broken, become articles; what does not is counted"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from pathlib import Path

import pytest

from packtrain.data.domains import wikipedia
from packtrain.data.domains.wikipedia import DOMAIN, Parameters, language_of
from packtrain.errors import UserError
from tests.data.run_domain import Made, corpora, made

PROSE = "The pack train left at dawn and crossed the ridge before noon. " * 5


def page(title: str, text: str = PROSE, ns: int = 0, number: int = 1, extra: str = "") -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"  <page>\n<title>{title}</title>\n<ns>{ns}</ns>\n<id>{number}</id>{extra}\n<revision><id>9</id>"
        f'<model>wikitext</model><text xml:space="preserve">{text}</text></revision>\n</page>\n'
    )


def dump(*pages: str) -> str:
    names = '<namespace key="6" case="x">Bildo</namespace><namespace key="14">Kategorio</namespace>'
    return f'<mediawiki xml:lang="en"><siteinfo><namespaces>{names}</namespaces></siteinfo>\n{"".join(pages)}</mediawiki>\n'


def run(
    tmp_path: Path, data: bytes, name: str = "dewiki-20220801.xml.bz2", parameters: Parameters | None = None
) -> Made:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(data)
    return made(DOMAIN, folder, tmp_path, parameters)


WHOLE = dump(page("Eins"), page("Zwei", PROSE + "[[Bildo:x.png|y]] [[Kategorio:z]]", number=2)).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("dewiki.xml", WHOLE),
        ("dewiki-20220801-pages-articles.xml.bz2", bz2.compress(WHOLE)),
        ("dewiki.xml.gz", gzip.compress(WHOLE)),
        ("dewiki.xml.xz", lzma.compress(WHOLE)),
        ("dewiki.xml.bz2", bz2.compress(WHOLE[:500]) + bz2.compress(WHOLE[500:])),  # as multistream dumps are
        ("dewiki.xml", b"\xef\xbb\xbf" + WHOLE),
        ("dewiki.xml", WHOLE.decode().encode("utf-16")),
        ("dewiki.xml", WHOLE.decode().encode("utf-16-be")),
        ("dewiki.xml", b'<?xml version="1.0" encoding="ISO-8859-1"?>' + WHOLE),
    ],
)
def test_every_compression_and_encoding_gives_the_same_articles(tmp_path: Path, name: str, data: bytes) -> None:
    result = run(tmp_path, data, name)
    assert [d.text for d in result.documents] == [f"Eins\n\n{PROSE.strip()}\n", f"Zwei\n\n{PROSE.strip()}\n"]
    first = result.documents[0]
    assert (first.language, first.url, first.id) == ("de", "https://de.wikipedia.org/wiki/Eins", f"{name}#1")
    assert not result.skips.counts


def test_a_latin_1_dump_keeps_its_letters(tmp_path: Path) -> None:
    xml = '<?xml version="1.0" encoding="ISO-8859-1"?>' + dump(page("Müller", "Größe " + PROSE))
    assert "Größe" in run(tmp_path, xml.encode("latin-1"), "dewiki.xml").documents[0].text


def test_redirects_and_other_namespaces_are_dropped_with_their_reason(tmp_path: Path) -> None:
    data = dump(
        page("A"), page("B", number=2, extra='<redirect title="A"/>'), page("Talk:A", ns=1, number=3),
        page("C", "#WEITERLEITUNG [[A]]", number=4), page("D", "short", number=5),
        page("E.css", number=6).replace(">wikitext<", ">css<"), page("F", "{{x}}", number=7),
    ).encode()  # fmt: skip
    result = run(tmp_path, data, "dewiki.xml")
    assert result.ids == ["dewiki.xml#1"]
    assert result.tallies["articles"].dropped == {"redirect": 2, "namespace 1": 1, "not wikitext": 1}
    assert result.tallies["wikitext to prose"].dropped == {"no prose in it": 1}
    assert result.tallies["length"].dropped == {"under 200 characters": 1}
    assert result.dropped["dewiki.xml#3"].text == PROSE.replace("&", "&amp;")


def test_a_truncated_dump_is_read_to_the_break_and_the_break_is_counted(tmp_path: Path) -> None:
    pages = [page(f"P{i}", PROSE + str(i) * 50_000, number=i) for i in range(40)]
    packed = bz2.compress(dump(*pages).encode(), 1)
    result = run(tmp_path, packed[: len(packed) // 2])
    assert 1 <= len(result.documents) < 40
    assert set(result.skips.counts) == {"the file breaks off", "page cut by the end of the file"} or set(
        result.skips.counts
    ) == {"the file breaks off"}
    assert result.skips.first[0]["file"] == "dewiki-20220801.xml.bz2"
    assert result.skips.first[0]["offset"] > 0


def test_broken_pages_are_counted_with_their_offset_and_the_others_stay(tmp_path: Path) -> None:
    sound = page("A")
    torn = "<page><title>B</title><id>2</id><text>never ended"
    xml = dump(sound, torn, page("C", number=3), "<page><ns>0</ns></page>", page("D", number=4))
    result = run(tmp_path, xml.encode(), "dewiki.xml")
    assert [d.metadata["title"] for d in result.documents] == ["A", "C", "D"]
    assert result.skips.counts == {"page without an end": 1, "page without a title, number or text": 1}
    assert xml.encode()[result.skips.first[0]["offset"] :].startswith(b"<page><title>B")


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    result = run(tmp_path, (bomb + dump(page("A", "&b;"))).encode(), "dewiki.xml")
    assert result.raw == []
    assert result.skips.counts == {"XML with declared entities": 1}


def test_a_page_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    xml = dump("<page><title>A</title>" + "x" * 9_000_000, page("B", number=2))
    result = run(tmp_path, bz2.compress(xml.encode()), parameters=Parameters(max_page_mib=1))
    assert "page too large" in result.skips.counts
    assert [d.metadata["title"] for d in result.documents] == ["B"]


def test_stray_bytes_cost_themselves_and_a_page_of_them_is_dropped(tmp_path: Path) -> None:
    xml = dump(page("A", "caf~ " + PROSE), page("B", "~" * 300 + PROSE, number=2)).encode().replace(b"~", b"\xe9")
    result = run(tmp_path, xml, "dewiki.xml")
    assert result.documents[0].text.startswith("A\n\ncaf The pack")
    assert sum(result.tallies["articles"].dropped.values()) == 1


@pytest.mark.parametrize("data", [b"", b"\0" * 4000, b"not xml", bz2.compress(b"")])
def test_files_without_pages_are_counted(tmp_path: Path, data: bytes) -> None:
    result = run(tmp_path, data)
    assert result.raw == []
    assert result.skips.counts.total() == 1


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("enwiki-20220801-pages-articles.xml.bz2", "en"),
        ("enwiki-latest-pages-articles1.xml-p10p30302.bz2", "en"),
        ("shwiki.xml.bz2", "sh"),
        ("simplewiki.xml", "simple"),
        ("zh_min_nanwiki.xml", "zh-min-nan"),
        ("de/wiki.xml.bz2", "de"),
        ("ukwiki/pages.xml", "uk"),
        ("dump.xml", None),
    ],
)
def test_the_language_is_that_of_the_name(name: str, language: str | None) -> None:
    assert language_of(Path("/x") / name) == language


def test_other_languages_and_unknown_ones_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("arwiki.xml", "dump.xml", "dewiki.xml"):
        (folder / name).write_bytes(WHOLE)
    result = made(DOMAIN, folder, tmp_path)
    assert {d.language for d in result.documents} == {"de"}
    assert result.skips.counts == {"language not among those to read": 1, "language unknown": 1}
    told = made(DOMAIN, folder, tmp_path, Parameters(languages=("ar",), language="ar"))
    assert {d.language for d in told.documents} == {"ar"}


def test_a_folder_without_dumps_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dumps here; expected \*\.xml, \*\.xml\.bz2"):
        wikipedia.inputs(tmp_path, Parameters())


def test_an_unknown_way_with_tables_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"domain\.tables=keep: expected remove or flatten"):
        Parameters(tables="keep")


LEFT = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||<ref|<!--|'''|&nbsp;|thumb\|", re.IGNORECASE)


def test_twenty_languages_of_real_dumps_leave_no_markup(tmp_path: Path) -> None:
    result = made(DOMAIN, corpora("wikipedia") / "minidumps", tmp_path)
    assert {d.language for d in result.documents} == set(wikipedia.LANGUAGES)
    for document in result.documents:
        assert not LEFT.search(document.text), document.id
        assert len(re.findall(r"^(?:Category|Kategorie|Категория|Catégorie):", document.text, re.MULTILINE)) == 0


def test_a_real_utf_16_dump_is_read(tmp_path: Path) -> None:
    result = made(DOMAIN, corpora("wikipedia") / "bgwiki-shortened.xml.bz2", tmp_path)
    assert len(result.documents) >= 1
    letters = "".join(d.text for d in result.documents)
    assert sum("а" <= c.lower() <= "я" for c in letters) > 0.6 * sum(c.isalpha() for c in letters)
    assert not result.skips.counts
