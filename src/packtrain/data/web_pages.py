"""WARC, WET and JSON-lines files → raw web pages as documents

    .warc .warc.gz       response → HTTP → charset → HTML ┬ main content (resiliparse)
    .wet  .wet.gz        conversion → its text            ├→ Document(id = file#record, url, text)
    .jsonl .json(l).gz   a line with `text`, also .zst    ┘
Everything that is no page is counted with file and offset. Of X.warc.gz and X.warc.wet.gz, the same crawl, one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from packtrain.data import files, http_message
from packtrain.data.documents import SUFFIXES, Document, read_stream
from packtrain.data.main_content import keep_prose
from packtrain.data.step import Skips
from packtrain.data.warc import Record, records

Prefer = Literal["wet", "warc"]
Extract = Literal["main", "all"]
WARC = (".warc", ".warc.gz", ".wet", ".wet.gz")
LINES = (*SUFFIXES, ".jsonl.gz", ".json.gz")  # the last as C4 is published: c4-train.00000-of-01024.json.gz
ABOUT = ("warcinfo", "request", "metadata", "continuation")  # records about pages, never pages
HTML = ("text/html", "application/xhtml+xml", "application/xhtml", "")


@dataclass(frozen=True)
class Pages:
    """prefer: where a crawl is there as WARC and as WET, the one that is read. extract: main content, or all text."""

    prefer: Prefer = "wet"
    extract: Extract = "main"


def inputs(path: Path, pages: Pages = Pages()) -> list[Path]:
    """The files below `path`, sorted; of a WARC and its WET only the preferred one."""
    names = (*WARC, *LINES)
    expected = f"no {', '.join(names)} files here; give a folder of Common Crawl's WET or WARC"
    found = files.find(path, lambda file: file.name.endswith(names), expected)
    crawls: dict[Path, list[Path]] = {}
    for file in found:
        crawls.setdefault(_crawl(file), []).append(file)
    return sorted(file for group in crawls.values() for file in _chosen(group, pages.prefer))


def _chosen(group: list[Path], prefer: Prefer) -> list[Path]:
    wet = [file for file in group if ".wet" in file.suffixes]
    other = [file for file in group if ".wet" not in file.suffixes]
    return (wet or other) if prefer == "wet" else (other or wet)


def _crawl(file: Path) -> Path:
    """What a WARC and its WET have in common: a/b.warc.gz, a/b.warc.wet.gz and a/b.wet are all a/b."""
    name = file.name
    if not name.endswith(WARC):
        return file
    for ending in (".gz", ".wet", ".warc"):
        name = name.removesuffix(ending)
    return file.with_name(name)


def read(path: Path, name: str, domain: str, pages: Pages, skips: Skips) -> Iterator[Document]:
    """The pages of one file, as documents of `domain`."""
    before, number = skips.counts.total(), 0
    if path.name.endswith(LINES):
        for number, document in enumerate(_lines(path, name, domain, skips), 1):  # noqa: B007
            yield document
    else:
        with path.open("rb") as file:
            for number, record in enumerate(records(file, skips), 1):
                if document := _page(record, f"{name}#{number}", domain, name, pages.extract, skips):
                    yield document
    if not number and skips.counts.total() == before:
        skips.skip("empty file", 0)


def _page(record: Record, identity: str, domain: str, name: str, extract: Extract, skips: Skips) -> Document | None:
    text = _text(record, extract, skips)
    if text is None:
        return None
    metadata: dict[str, object] = {"offset": record.offset}
    if date := record.headers.get("warc-date"):
        metadata["date"] = date
    if record.mended:
        metadata["mended"] = "Content-Length"
    url = record.headers.get("warc-target-uri", "").strip("<>").strip() or None
    return Document(identity, text, domain, name, url=url, metadata=metadata)


def _lines(path: Path, name: str, domain: str, skips: Skips) -> Iterator[Document]:
    with files.opened(path) as raw:
        for number, document in enumerate(read_stream(raw, path, skips.skip), 1):
            yield replace(document, id=f"{name}#{number}", domain=domain, source=name, split=None)


def _text(record: Record, extract: Extract, skips: Skips) -> str | None:
    if record.kind == "conversion":
        return record.body.decode("utf-8", "replace").lstrip("\ufeff")
    if record.kind in ABOUT:
        return None
    if record.kind != "response":
        skips.skip("revisit of a page" if record.kind == "revisit" else f"no page: {record.kind[:20]}", record.offset)
        return None
    try:
        response = http_message.parse(record.body)
    except ValueError as error:
        skips.skip(str(error), record.offset)
        return None
    if response.status != 200:
        skips.skip("HTTP status is not 200", record.offset, str(response.status))
        return None
    if response.mime == "text/plain":
        return http_message.decode(response.body, response.charset, html=False)
    if response.mime not in HTML or (
        b"\0" in response.body[:1024] and not response.body.startswith((b"\xff", b"\xfe"))
    ):
        skips.skip("no HTML", record.offset, response.mime)
        return None
    return html_text(http_message.decode(response.body, response.charset), extract)


def html_text(page: str, extract: Extract = "main") -> str:
    """The text of an HTML page, a line for each block; indented only where it is preformatted, as code is.

    `main`: without menus, headers and footers, as far as they are seen.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    page = page.replace("\0", "")
    tree = HTMLTree.parse(page)
    if extract == "main":
        keep_prose(tree, len(page))
    text = extract_plain_text(tree, main_content=extract == "main", alt_texts=False, list_bullets=False)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    code = _indented(tree)
    return "\n".join(code.get(line, line) for line in lines if line)


def _indented(tree: Any) -> dict[str, str]:
    """The lines of <pre> that begin with blanks, as they stand there, by what is left of them without."""
    parts = tree.body.get_elements_by_tag_name("pre")[:] if tree.body else ()
    lines = (line.rstrip() for part in parts for line in part.text.split("\n"))
    return {" ".join(line.split()): line for line in lines if line[:1].isspace()}
