"""Stack Exchange dumps: numeric scores, code kept, damage skipped and counted, memory that stays with any site"""

from __future__ import annotations

import itertools
import os
import tracemalloc
from html import escape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from packtrain.data.documents import Document
from packtrain.data.domains.stack_exchange import LARGEST, Parameters, inputs, read, site_of, steps
from packtrain.data.domains.stack_exchange_html import to_text
from packtrain.data.domains.stack_exchange_rows import Rows, attributes
from packtrain.data.step import Skips, Tally
from packtrain.errors import UserError
from tests.data.corpora import corpora

ALL = Parameters(sites="all")
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'


def row(**values: object) -> str:
    return "  <row " + " ".join(f'{k}="{escape(str(v))}"' for k, v in values.items()) + " />\n"


def post(number: int, body: str, parent: int | None = None, **more: object) -> str:
    kind = {"PostTypeId": 1, "Title": f"T{number}"} if parent is None else {"PostTypeId": 2, "ParentId": parent}
    return row(Id=number, **kind, Body=f"<p>{body}</p>", **more)


def dump(folder: Path, content: str | bytes, site: str = "beer.stackexchange.com") -> Path:
    path = folder / site / "Posts.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else (HEAD + content + "</posts>\n").encode())
    return path


def texts(path: Path, parameters: Parameters = ALL) -> tuple[list[Document], Skips, Tally]:
    skips, tally = Skips(), Tally("t")
    raw = read(path, path.name, parameters, skips)
    return list(steps(parameters)[0](raw, tally)), skips, tally  # pyright: ignore


def test_answers_stand_by_score_as_a_number_best_first(tmp_path: Path) -> None:
    scores = {2: 9, 3: 10, 4: -2, 5: 100, 6: 9}
    rows = [post(number, f"s{number}", 1, Score=score) for number, score in scores.items()]
    (document,), _, _ = texts(dump(tmp_path, "".join(rows) + post(1, "why?", Score=3)))  # the question comes last
    assert document.text == "Q: T1\n\nwhy?\n\nA: s5\n\nA: s3\n\nA: s2\n\nA: s6\n\nA: s4"
    assert document.metadata["answer_scores"] == [100, 10, 9, 9, -2]
    assert document.url == "https://beer.stackexchange.com/questions/1"


def test_missing_and_odd_values_are_taken_for_what_they_are(tmp_path: Path) -> None:
    rows = post(1, "q") + post(2, "no score", 1) + post(3, "word", 1, Score="many") + post(4, "low", 1, Score="-1")
    (document,), _, _ = texts(dump(tmp_path, rows))
    assert document.text.endswith("A: no score\n\nA: word\n\nA: low")
    assert document.metadata["answer_scores"] == [None, None, -1] and document.licence is None
    dated = post(1, "q", CreationDate="2011-04-07T00:00:00") + post(2, "a", 1, ContentLicense="CC BY-SA 4.0")
    assert texts(dump(tmp_path, dated))[0][0].licence == "CC BY-SA 2.5, CC BY-SA 4.0"


def test_what_is_no_question_and_no_answer_is_skipped_with_its_place(tmp_path: Path) -> None:
    rows = [
        post(1, "q"),
        row(Id=2, PostTypeId=4, Body="wiki"),
        post(3, "lost", 77),
        post(1, "again"),
        row(PostTypeId=1),
    ]
    path = dump(tmp_path, "".join(rows))
    (document,), skips, _ = texts(path)
    assert document.text == "Q: T1\n\nq"
    assert skips.counts == {
        "neither question nor answer (tag wiki excerpt)": 1, "answer to a question that is not there": 1,
        "id given twice": 1, "post without an id": 1,
    }  # fmt: skip
    for found in skips.first:
        assert path.read_bytes()[found["offset"] :].startswith(b"<row")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_a_byte_order_mark_line_ends_and_other_encodings(tmp_path: Path, encoding: str, line: str) -> None:
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    content = HEAD.replace("utf-8", declared) + post(1, "café &amp; crème") + post(2, "ja", 1) + "</posts>"
    (document,), skips, _ = texts(dump(tmp_path, content.replace("\n", line).encode(encoding)))
    assert document.text == "Q: T1\n\ncafé & crème\n\nA: ja" and not skips.counts


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ('<row Id="9" PostTypeId="1" Body="no end\n', "row without an end"),
        ('<row Id="9" PostTypeId="1" Body="x', "row without an end"),
    ],
)
def test_a_damaged_row_costs_no_other(tmp_path: Path, broken: str, reason: str) -> None:
    path = dump(tmp_path, post(1, "one") + broken + post(2, "two"))
    documents, skips, _ = texts(path)
    assert [d.text for d in documents] == ["Q: T1\n\none", "Q: T2\n\ntwo"]
    assert skips.counts == {reason: 1} and skips.first[0]["offset"] == path.read_bytes().index(b'<row Id="9"')


def test_bytes_that_are_no_utf_8_and_a_file_that_breaks_off(tmp_path: Path) -> None:
    bad = (HEAD + post(1, "one") + post(2, "x\ufffe", 1)).encode().replace("\ufffe".encode(), b"\xff\xfe")
    (document,), _, _ = texts(dump(tmp_path, bad + post(3, "cut", 1).encode()[:-9]))
    assert document.text.startswith("Q: T1\n\none\n\nA: x")
    assert texts(dump(tmp_path, b""))[0] == []
    assert texts(dump(tmp_path, os.urandom(100_000)))[0] == []


def test_entities_of_a_dtd_are_never_expanded(tmp_path: Path) -> None:
    lol = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    content = f'<?xml version="1.0"?><!DOCTYPE posts [<!ENTITY l0 "lol">{lol}]><posts>' + post(1, "fine")
    bomb = '<row Id="2" PostTypeId="2" ParentId="1" Body="&l9;" />'
    (document,), _, tally = texts(dump(tmp_path, (content + bomb).encode()))
    assert document.text == "Q: T1\n\nfine" and tally.removed["row uses an entity of its own"] == 1


def test_a_line_without_end_is_given_up(tmp_path: Path) -> None:
    content = post(1, "one") + '<row Id="5" PostTypeId="1" Body="' + "x" * (6 << 20) + '" />\n' + post(2, "two")
    documents, skips, _ = texts(dump(tmp_path, content))
    assert [d.id[-2:] for d in documents] == ["/1", "/2"] and skips.counts == {"row too long": 1}


def test_memory_does_not_grow_with_the_site(tmp_path: Path) -> None:
    body = "word " * 400
    content = "".join(post(i, body) for i in range(1, 4000)) + "".join(post(5000 + i, body, i) for i in range(1, 4000))
    path = dump(tmp_path, content)
    tracemalloc.start()
    assert sum(1 for _ in read(path, "x", ALL, Skips())) == 3999
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 16e6 and peak < 8e6


def test_an_archive_of_a_site_and_archives_that_are_none(tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr")
    plain = dump(tmp_path / "plain", post(1, "q") + post(2, "a", 1, Score=5))
    archive = tmp_path / "dump" / "beer.stackexchange.com.7z"
    archive.parent.mkdir()
    with py7zr.SevenZipFile(archive, "w") as file:
        file.writestr(b"<tags/>", "Tags.xml")
        file.write(plain, "Posts.xml")
    assert [d.text for d in texts(archive)[0]] == [d.text for d in texts(plain)[0]]
    truncated = archive.read_bytes()[:-20]
    with py7zr.SevenZipFile(archive, "w") as file:
        file.write(plain, "../../Posts.xml")
    for content in (archive.read_bytes(), truncated, b"", b"no archive"):
        archive.write_bytes(content)
        documents, skips, _ = texts(archive)
        assert documents == [] and skips.counts == {"archive cannot be unpacked": 1}
    assert list(tmp_path.rglob("Posts.xml")) == [plain]


def test_a_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    py7zr = pytest.importorskip("py7zr")
    monkeypatch.setattr("packtrain.data.domains.stack_exchange.BOMB_BYTES", 1 << 20)
    archive = tmp_path / "a.com.7z"
    with py7zr.SevenZipFile(archive, "w") as file:
        file.writestr(b" " * (50 << 20), "Posts.xml")
    _, skips, _ = texts(archive)
    assert skips.counts == {"archive unpacks to more than any dump holds": 1}


def test_the_28_largest_sites_are_taken_and_others_when_asked(tmp_path: Path) -> None:
    assert len(set(LARGEST)) == 28
    beer = dump(tmp_path, post(1, "q"))
    with pytest.raises(UserError, match=r"found beer\.stackexchange\.com.*domain\.sites=all"):
        inputs(tmp_path, Parameters())
    assert inputs(tmp_path, ALL) == [beer] == inputs(beer, Parameters(sites=("beer.stackexchange.com",)))
    math = dump(tmp_path, post(1, "q"), "math.stackexchange.com")
    assert inputs(tmp_path, Parameters()) == [math]
    assert site_of(Path("x/stackoverflow.com-Posts.7z")) == "stackoverflow.com"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no Posts\.xml or \.7z.*wants"):
        inputs(tmp_path / "empty", ALL)


def test_what_is_below_the_minimum_is_dropped_by_reason(tmp_path: Path) -> None:
    path = dump(tmp_path, post(1, "q", Score=5) + post(2, "a", 1, Score=-1) + post(3, "r", Score=-4))
    documents, _, tally = texts(path, Parameters(sites="all", minimum_score=0))
    assert [d.text for d in documents] == ["Q: T1\n\nq"]
    assert tally.dropped == {"question below minimum_score": 1} and tally.removed == {"answer below minimum_score": 1}
    assert texts(path, Parameters(sites="all", minimum_answers=1))[2].dropped == {"fewer than minimum_answers": 1}


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a <b>b</b>\n c&nbsp;&lt;d&gt;</p><p>e</p>", "a b c <d>\n\ne"),
        ("<p>run <code>x &lt; y</code>:</p><pre><code>if x:\n    y  = 1\n\n</code></pre><p>z</p>",
         "run `x < y`:\n\n```\nif x:\n    y  = 1\n```\n\nz"),
        ("<pre><code>```\nin\n```</code></pre>", "````\n```\nin\n```\n````"),
        ("<ul><li>one</li><li><p>two</p><pre>c</pre></li></ul><p>e</p>", "- one\n- two\n\n  ```\n  c\n  ```\n\ne"),
        ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n   - b\n2. c"),
        ("<p>x</p><blockquote><p>q</p><p>r</p></blockquote><p>y</p>", "x\n\n> q\n>\n> r\n\ny"),
        ("<p>10<sup>6</sup> x<sup>2</sup> word<sup>1</sup> H<sub>2</sub>O</p>", "10^6 x^2 word1 H2O"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2"),
        ('a<br>b <img src="i.png" alt="enter image description here"> <a href="u">link</a>', "a\nb link"),
        ("<script>alert(1)</script><!-- c -->a < b > c <", "a < b > c <"),
    ],
)  # fmt: skip
def test_html_becomes_text(html: str, text: str) -> None:
    assert to_text(html) == text


@pytest.mark.parametrize(
    "bomb", ["<a " * 30_000, '<a "' * 30_000, "<!--" * 30_000, "<blockquote>x" * 3000, "<li>x" * 9000]
)
def test_html_made_to_be_slow_is_not(bomb: str) -> None:
    import time

    begin = time.perf_counter()
    to_text(bomb)
    assert time.perf_counter() - begin < 5


BLOCKS = ["<p>", "</p>", "<pre>", "</pre>", "<ul>", "<li>", "</li>", "</ul>", "<blockquote>", "</blockquote>", "<td>"]
PIECES = [*BLOCKS, "<code>", "&lt;", "&#x", "<", ">", "\n", "x", "`", "é"]


@given(st.lists(st.sampled_from(PIECES)))
@settings(max_examples=200, deadline=None)
def test_any_html_gives_text_without_its_tags(parts: list[str]) -> None:
    out = to_text("".join(parts))
    assert out == out.strip("\n") and "<blockquote>" not in out


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_any_pieces_give_the_same_rows(noise: bytes, cuts: list[int]) -> None:
    data = b"<posts>" + b" " * 200 + noise + b'<row Id="1" Body="x" /><row Id=\'2\'/>' + noise
    places = sorted({0, len(data), *(min(cut + 207, len(data)) for cut in cuts)})
    whole = list(Rows(lambda *_: None).feed(data, final=True))
    rows, pieces = Rows(lambda *_: None), []
    for start, end in itertools.pairwise(places):
        pieces += list(rows.feed(data[start:end]))
    assert pieces + list(rows.feed(b"", final=True)) == whole
    assert all(data[at : at + len(found)] == found for at, found in whole)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t&<>\"'"), max_size=80)
)
@settings(max_examples=200, deadline=None)
def test_attributes_are_read_as_lxml_reads_them(body: str) -> None:
    element = etree.Element("row", Body=body, Score="-3")
    source = etree.tostring(element, encoding="utf-8")
    ((_, found),) = Rows(lambda *_: None).feed(source, final=True)
    assert attributes(found) == dict(etree.fromstring(source).attrib) == {"Body": body, "Score": "-3"}


def test_the_real_dumps_are_read_as_lxml_reads_them() -> None:
    for path in inputs(corpora() / "stackexchange", ALL):
        posts = [dict(element.attrib) for _, element in etree.iterparse(str(path), tag="row")]
        rows = [attributes(found) for _, found in Rows(lambda *_: None).feed(path.read_bytes(), final=True)]
        for post in posts:
            post["Body"] = post.get("Body", "").replace("\r\n", "\n")
        assert [{"Body": "", **found} for found in rows] == posts and len(posts) > 500
        documents, _, tally = texts(path)
        assert len(documents) == sum(p["PostTypeId"] == "1" for p in posts) and not tally.dropped
        by_id = {f"{site_of(path)}/{p['Id']}": p for p in posts}
        for document in documents:
            scores = document.metadata["answer_scores"]
            assert scores == sorted(scores, reverse=True)
            assert len(scores) == int(by_id[document.id].get("AnswerCount", 0)) - tally.removed.get(
                "answer without text", 0
            )
            assert "<p>" not in document.text and "</code>" not in document.text
