"""common_crawl and c4 from files to documents: what is read, what is skipped and where, what stays"""

import gzip
import json
from pathlib import Path

import pytest
import yaml

from packtrain import settings
from packtrain.data.documents import read_documents
from packtrain.data.domains import c4, common_crawl
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.step import Skips
from packtrain.data.web_pages import Pages, html_text, inputs
from packtrain.errors import UserError
from tests.data.web import corpus, record, response, wet

PROSE = "Llamas carry loads of thirty kilograms over the high passes of the Andes. They hum when they are tired. "
HTML = (
    "<html><head><title>Llamas</title><script>var a = {}</script></head><body><nav><a href='/'>Home</a></nav>"
    f"<article><h1>About llamas</h1><p>{PROSE * 5}</p><p>Their wool is soft.</p></article>"
    "<footer>All rights reserved</footer></body></html>"
)


def pages(numbers: range) -> list[str]:
    menu = "Home and About us and Contact"
    return [
        f"{menu}\n{PROSE.replace('thirty', 'x' * (i + 3))}\n{(f'Page {chr(97 + i) * 4} is its own. ') * 20}"
        for i in numbers
    ]


def made(domain: dict | str, source: Path, folder: Path, **options) -> tuple[dict, dict[str, str]]:
    report = prepare(domain, source, folder, 0.2, say=lambda _: None, options=PrepareOptions(processes=0, **options))
    return report, {d.id: d.text for d in read_documents(folder)}


def test_common_crawl_from_wet_cuts_the_menus_and_keeps_the_pages(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.warc.wet.gz").write_bytes(wet(pages(range(6))))
    german = "Dies ist eine deutsche Seite über Lamas und Alpakas, und sie ist lang genug. " * 10
    (tmp_path / "in/b.warc.wet.gz").write_bytes(wet([*pages(range(6, 9)), german]))
    report, texts = made("common_crawl", tmp_path / "in", tmp_path / "out", keep_dropped=True)
    assert len({i.partition("~")[0].partition("#split")[0] for i in texts}) >= 9
    assert not any("Home" in text for text in texts.values())
    assert report["dropped"] == {"other language": 1}
    assert [s["name"] for s in report["steps"]] == ["repeated lines", "language"]
    assert report["steps"][0]["cut"]["repeated line"] == 9
    assert list((tmp_path / "out").glob("dropped-*.zst"))


def test_warc_becomes_text_and_what_is_no_page_is_counted_with_its_offset(tmp_path: Path) -> None:
    parts = [
        record(b"software: test", "warcinfo"),
        record(response(HTML.encode()), "response", "<http://a.org/1>"),
        record(response(b"gone", status="404 Not Found"), "response"),
        record(response(b"%PDF", "Content-Type: application/pdf\r\n"), "response"),
        record(response(bytes(2000)), "response"),
        record(b"no http", "response"),
        record(
            response(b"%x\r\n%s\r\n0\r\n\r\n" % (len(HTML), HTML.encode()), "Transfer-Encoding: chunked\r\n"),
            "response",
        ),
        record(b"", "revisit"),
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    skips = Skips("a.warc.gz")
    found = list(common_crawl.read(path, "a.warc.gz", common_crawl.Parameters(), skips))
    assert [d.id for d in found] == ["a.warc.gz#2", "a.warc.gz#7"]
    assert found[0].text == found[1].text
    assert found[0].url == "http://a.org/1"
    assert skips.counts == {
        "HTTP status is not 200": 1, "no HTML": 2, "no HTTP response": 1, "revisit of a page": 1
    }  # fmt: skip
    assert skips.first[0]["offset"] == sum(len(gzip.compress(p)) for p in parts[:2])


def test_the_main_content_is_without_menus_and_scripts() -> None:
    text = html_text(HTML)
    assert "About llamas" in text and text.endswith("Their wool is soft.")
    assert not any(word in text for word in ("Home", "rights", "var a"))
    assert "Home" in html_text(HTML, "all")
    assert html_text("<p>" * 50_000 + "deep")  # nested without end
    code = "<p>Some code:</p><pre>def hum():\n    return  'mmm'\n</pre><ul><li>  a list</li></ul>"
    assert html_text(code, "all") == "Some code:\ndef hum():\n    return  'mmm'\na list"
    assert html_text("") == "" and html_text("\0<b>x\0") == "x"


def test_the_main_content_keeps_lists_of_prose_and_code_in_figures() -> None:
    items = "<li><a href='/x'>Wrapper</a> (a library of topic models)</li><li>A scraper of reviews</li>"
    menu = "<ul><li><a href='/'>Home</a></li><li><a href='/y'>Contact</a></li></ul>"
    code = "<figure><pre>def hum():\n    return 1</pre></figure>"
    text = html_text(f"<main>{menu}<p>{PROSE * 3}</p><ul>{items}</ul>{code}<ul><li>And a second list</li></ul></main>")
    lines = [
        "Wrapper (a library of topic models)",
        "A scraper of reviews",
        "def hum():",
        "    return 1",
        "And a second list",
    ]
    assert text.split("\n")[1:] == lines
    for nested in ("<ul><li>a", "<ul><li>a</ul>", "<figure><pre>x</pre></figure>"):
        html_text(nested * 500)  # without end, and yet quick


def test_c4_from_wet_and_from_json_lines_gives_the_same_texts(tmp_path: Path) -> None:
    texts = ["\n".join([text, "Menu without an end", "Click here."]) for text in pages(range(5))]
    (tmp_path / "w").mkdir()
    (tmp_path / "w/a.warc.wet.gz").write_bytes(wet(texts))
    (tmp_path / "j").mkdir()
    lines = [json.dumps({"text": t}) for t in texts]
    (tmp_path / "j/a.jsonl").write_text("\n".join([*lines, "{broken"]), encoding="utf-8")
    _, first = made("c4", tmp_path / "w", tmp_path / "o1")
    report, second = made("c4", tmp_path / "j", tmp_path / "o2")
    assert sorted(first.values()) == sorted(second.values())
    assert report["skipped"]["counts"] == {"line is not JSON": 1}
    assert not any("Menu" in text or "Click" in text for text in second.values())
    lines = [json.dumps({"text": t, "url": "http://a.b", "timestamp": "2019"}) for t in texts]
    published = gzip.compress("\n".join(lines).encode())
    (tmp_path / "p").mkdir()
    (tmp_path / "p/c4-train.00000-of-01024.json.gz").write_bytes(published)
    (tmp_path / "p/c4-train.00001-of-01024.json.gz").write_bytes(published[: len(published) // 2])
    report, third = made("c4", tmp_path / "p", tmp_path / "o3")
    assert set(third.values()) == set(first.values())
    assert report["skipped"]["counts"] == {"file broken off": 1}


def test_of_a_crawl_that_is_there_twice_one_form_is_read(tmp_path: Path) -> None:
    for name in ("x.warc.gz", "x.warc.wet.gz", "y.warc", "sub/x.warc.gz", ".hidden/z.warc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = lambda prefer: [p.relative_to(tmp_path).as_posix() for p in inputs(tmp_path, Pages(prefer))]  # noqa: E731
    assert names("wet") == ["sub/x.warc.gz", "x.warc.wet.gz", "y.warc"]
    assert names("warc") == ["sub/x.warc.gz", "x.warc.gz", "y.warc"]


def test_bad_input_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or directory"):
        made("common_crawl", tmp_path / "missing", tmp_path / "out")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"no \.warc, .* files here; give a folder of Common Crawl's WET or WARC"):
        made("c4", tmp_path, tmp_path / "out")
    (tmp_path / "a.warc.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"no documents to keep.*1 empty file"):
        made("c4", tmp_path / "a.warc.gz", tmp_path / "out")
    for domain, values, message in (
        ("common_crawl", {"quality": {"model": "x"}}, r"domain\.quality\.model=x: no language model.*quality train=lm"),
        ("common_crawl", {"references": {"model": "x"}}, r"domain\.references\.model=x: no classifier is there"),
        ("c4", {"language": {"model": "x"}}, r"language\.model=x: no such file; null takes lid\.176"),
        ("c4", {"bad_words": {"path": "x"}}, r"bad_words\.path=x: cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            made({"name": domain, **values}, tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match=r"unknown key 'domain\.rules\.min_word'; did you mean 'min_words'"):
        made({"name": "c4", "rules": {"min_word": 3}}, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("domain", ["common_crawl", "c4"])
def test_the_real_crawls_go_through_whole(domain: str, tmp_path: Path) -> None:
    report, texts = made({"name": domain}, corpus("commoncrawl"), tmp_path / "out")
    assert report["skipped"]["counts"] == {"no HTML": 3, "no page: resource": 8, "revisit of a page": 3}
    assert report["read"] == 58 and report["kept"] > 30
    assert all(text.strip() for text in texts.values())


def test_documents_of_a_domain_have_ids_of_their_own() -> None:
    folder = corpus("commoncrawl")
    for domain in (common_crawl, c4):
        parameters = domain.Parameters()
        files = domain.inputs(folder, parameters)
        ids = [d.id for p in files for d in domain.read(p, p.relative_to(folder).as_posix(), parameters, Skips())]
        assert len(ids) == len(set(ids)) == 58


@pytest.mark.parametrize("domain", [common_crawl, c4])
def test_the_yaml_of_a_domain_says_what_its_code_says(domain) -> None:
    path = Path(__file__).parents[3] / "conf/domain" / f"{domain.NAME}.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values.pop("name") == domain.NAME
    assert settings.build(domain.Parameters, values) == domain.Parameters()
