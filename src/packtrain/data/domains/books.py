"""Gutenberg files and zips → HTML, Markdown to text → header, licence and footer off → long enough → one edition each

Two editions are one book where over 90 % of the smaller's content is in the other; the longest is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from packtrain.data import files
from packtrain.data.books.candidates import BookCandidates
from packtrain.data.books.deduplication import BookDeduplication
from packtrain.data.books.gutenberg import fields, is_free, without_boilerplate, without_illustrations
from packtrain.data.books.plain import from_html, from_markdown, is_html, tidy
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.length import LongEnough
from packtrain.data.packed import Limits, files_in
from packtrain.data.step import AnyStep, Skips, Tally
from packtrain.errors import UserError

NAME = "books"
TEXTS = (".txt", ".htm", ".html", ".xhtml", ".md")
DECLARED = re.compile(
    rb"(?:Character set encoding:[ \t]*|charset\s*=\s*[\"']?|encoding\s*=\s*[\"'])([A-Za-z0-9._-]{3,30})"
)
LANGUAGES = {"english": "en", "french": "fr", "german": "de", "dutch": "nl", "spanish": "es", "italian": "it",
             "portuguese": "pt", "swedish": "sv", "danish": "da", "polish": "pl", "hungarian": "hu", "finnish": "fi",
             "latin": "la", "russian": "ru", "catalan": "ca", "czech": "cs", "norwegian": "no"}  # fmt: skip


@dataclass(frozen=True)
class Parameters:
    """common_over: the share in common over which the shorter of two books goes. sketch_scale, candidates_over: which
    pairs are compared exactly. illustrations: whether [Illustration: …] stays."""

    min_characters: int = 2000
    max_mib: int = 64
    common_over: float = 0.9
    candidates_over: float = 0.7
    sketch_scale: int = 32
    illustrations: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.candidates_over < self.common_over < 1:
            raise UserError(
                f"domain.candidates_over={self.candidates_over} domain.common_over={self.common_over}: "
                "expected 0 < candidates_over < common_over < 1"
            )
        if self.sketch_scale < 1:
            raise UserError(f"domain.sketch_scale={self.sketch_scale}: expected at least 1")


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    """The file, or every .txt, .htm, .html, .md and .zip below a folder."""
    expected = "no books here; expected .txt, .htm, .html, .md or .zip (gutenberg.org)"
    return files.find(path, lambda file: file.suffix.lower() in (*TEXTS, ".zip", ".gz"), expected)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The texts of one file or zip, as they are, decoded."""
    limits = Limits(file=parameters.max_mib << 20, archive=4 * parameters.max_mib << 20)
    packed = path.suffix.lower() in (".zip", ".gz")

    def wanted(member: str) -> bool:
        return member.lower().endswith(TEXTS) and not member.rpartition("/")[2].startswith(".")

    for member, content in files_in(path, wanted, skips, limits):
        place = f"{name}/{member}" if path.suffix.lower() == ".zip" else name
        if not content.strip():
            skips.skip("empty file", 0, place)
        elif b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            skips.skip("binary file", content.index(b"\0"), place)
        else:
            text, encoding = decoded(content)
            metadata = {"encoding": encoding, "file": member if packed else path.name, **fields(text)}
            language = LANGUAGES.get(str(metadata.get("language", "")).lower())
            licence = "public domain" if is_free(text) else None
            yield Document(place, text, NAME, name, language=language, licence=licence, metadata=metadata)


def decoded(content: bytes) -> tuple[str, str]:
    """By byte order mark, UTF-8, what the file declares, or Windows-1252; with the encoding's name. Never raises."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace").lstrip("\ufeff"), encoding
    declared = DECLARED.search(content[:8192])
    for encoding in ("utf-8", declared[1].decode() if declared else "cp1252", "cp1252", "latin-1"):
        try:
            if encoding.lower() in ("ascii", "us-ascii", "iso-8859-1", "latin1"):
                encoding = "cp1252"  # a superset where it differs: the C1 controls are quotation marks in fact
            return content.decode(encoding), encoding.lower()
        except (UnicodeError, LookupError):
            continue
    return content.decode("utf-8", "replace"), "utf-8"


@dataclass(frozen=True)
class PlainText:
    """HTML and Markdown to text; line ends and blanks tidied."""

    name: ClassVar[str] = "plain text"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            file = str(document.metadata.get("file", "")).lower()
            if is_html(document.text):
                text = from_html(document.text)
            else:
                text = from_markdown(document.text) if file.endswith(".md") else tidy(document.text)
            yield tally.change(document, replace(document, text=text))


@dataclass(frozen=True)
class WithoutBoilerplate:
    """Header, credits, footer and licence of Project Gutenberg off; pictures that are not there too."""

    illustrations: bool = False
    name: ClassVar[str] = "gutenberg boilerplate"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            text, cut = without_boilerplate(document.text)
            for what in cut:
                tally.cut(what)
            if not self.illustrations:
                text, count = without_illustrations(text)
                tally.cut("illustrations", count)
            yield tally.change(document, replace(document, text=tidy(text)))


def steps(parameters: Parameters) -> list[AnyStep]:
    return [
        PlainText(),
        WithoutBoilerplate(parameters.illustrations),
        LongEnough(parameters.min_characters),
        BookCandidates(parameters.sketch_scale, parameters.candidates_over),
        BookDeduplication(parameters.common_over),
    ]


DOMAIN = Domain(
    NAME, Parameters, inputs, read, steps, "a folder of .txt, .htm, .md or .zip books (gutenberg.org)", version=2
)
