"""packtrain report documents=…: counts, reasons, skips, lengths, languages, samples, on a page that stands alone"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.errors import UserError
from packtrain.jobs.report import ReportJob, run


class Elements(HTMLParser):
    """Every tag with its attributes; raises where tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(30):
        (folder / f"{i:02d}.txt").write_text(
            f"document {i} " * (i + 1) + "<script>alert('planted')</script> & <b>bold</b>"
        )
    (folder / "empty.txt").write_text(" ")
    (folder / "image.txt").write_bytes(b"\0\1")
    prepare("text", folder, tmp_path / "documents" / "text", 0.2, options=PrepareOptions(processes=0))
    prepare("unicode", None, tmp_path / "documents" / "unicode", 0.2)
    return tmp_path / "documents"


def test_the_page_holds_what_the_reports_say(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(ReportJob(documents=str(prepared)))
    assert f"page        {prepared / 'report.html'}" in capsys.readouterr().out
    page = (prepared / "report.html").read_text()
    for word in ("text", "unicode", "30 of 31 documents kept", "drop empty", "binary", "image.txt", "before and after",
                 "Length of a document", "Languages", "Unicode-3.0", "Some that were dropped",
                 "as read; blue: kept"):  # fmt: skip
        assert word in page, word
    assert page.count("<details") >= 10 + 10 + 1


def test_the_page_stands_alone_and_runs_nothing(prepared: Path, tmp_path: Path) -> None:
    run(ReportJob(documents=(str(prepared / "text"),), output=str(tmp_path / "page.html")))
    page = (tmp_path / "page.html").read_text()
    elements = Elements()
    elements.feed(page)
    assert not elements.open, "every element is closed"
    assert not {tag for tag, _ in elements.seen} & {"script", "link", "img", "iframe", "object", "b"}
    assert all(
        "src" not in attributes and not str(attributes.get("href", "#")).startswith("http")
        for _, attributes in elements.seen
    )
    assert "&lt;script&gt;alert" in page and "url(" not in page and "@import" not in page
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page


def test_files_that_a_domain_does_not_take_stand_on_the_page(tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / "a.txt").write_text("A llama went over the pass and rested by the lake. " * 100)
    for i in range(25):
        (books / f"{i:02d}<i>.pdf").write_bytes(b"%PDF")
    prepare("books", books, tmp_path / "documents", 0.0, options=PrepareOptions(processes=0))
    run(ReportJob(documents=str(tmp_path / "documents")))
    page = (tmp_path / "documents" / "report.html").read_text()
    assert "25 files of other kinds, or not wanted, were not read" in page
    assert "00&lt;i&gt;.pdf" in page and "and 5 more" in page


def test_report_data_alone_looks_where_prepare_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "data"]) == 2
    assert "documents=data/documents: no such folder" in capsys.readouterr().err
    prepare("unicode", None, Path("data/documents/unicode"), 0.2)
    assert main(["report", "data"]) == 0
    assert "page        data/documents/report.html" in capsys.readouterr().out
    assert "unicode" in Path("data/documents/report.html").read_text()


def test_what_holds_no_report_is_answered_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run(ReportJob(documents=str(tmp_path / "none")))
    with pytest.raises(UserError, match=r"no report\.json here.*packtrain prepare"):
        run(ReportJob(documents=str(tmp_path)))
    for broken in ("", "[]", "{}", '{"kept": "x", "domain": 1}'):
        (tmp_path / "report.json").write_text(broken)
        with pytest.raises(UserError, match="is not a report"):
            run(ReportJob(documents=str(tmp_path)))
    with pytest.raises(UserError, match=re.escape("runs=… or documents=…")):
        run(ReportJob(runs="a", documents=str(tmp_path)))


def test_the_same_ten_are_drawn_each_time(prepared: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(ReportJob(documents=str(prepared / "text"), output=str(tmp_path / f"{name}.html")))
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
