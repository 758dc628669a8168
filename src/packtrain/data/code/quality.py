"""source files → those that people wrote and others may use: licence, vendored, generated, lines, alphanumeric share"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import ClassVar

from packtrain.data.code.headers import header, without_header
from packtrain.data.code.languages import comments_of
from packtrain.data.code.licences import licence_of, permitted
from packtrain.data.code.notebooks import to_code
from packtrain.data.documents import Document
from packtrain.data.step import Tally
from packtrain.data.words import words

VENDORED = words(
    """vendor vendored _vendor _vendored vendors third_party third-party thirdparty 3rdparty node_modules
    bower_components site-packages extern externals external_libs godeps deps jspm_packages pods"""
)
GENERATED = re.compile(
    r"@generated\b|\bdo not (?:edit|modify)\b(?! the (?:above|below))|"
    r"auto-?(?:matically)? ?-?generated|\bmachine[- ]generated|"
    r"^\W*(?:code |file |this (?:file|code) (?:(?:was|is|has been) )?)?(?:auto-?)?generated (?:by|from|with|using)\b",
    re.IGNORECASE | re.MULTILINE,
)
MARKED = re.compile(r"^\s*(?://|#|\*|/\*|--|;)+\s*@generated\b", re.MULTILINE)  # after an include guard too
GENERATED_NAMES = re.compile(
    r".*\.min\.(?:js|css|mjs)|.*[-.]bundle\.js|.*_pb2(?:_grpc)?\.pyi?|.*\.pb\.(?:go|cc|h)|.*\.g\.dart|.*\.designer\.cs|"
    r".*\.generated\.\w+|package-lock\.json|yarn\.lock|.*_rc\.py|.*\.map",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Licensed:
    """Keeps what the licences in `keep` allow. A file that states its own is judged by that alone."""

    keep: tuple[str, ...]
    name: ClassVar[str] = "licence"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            own = licence_of(header(document.text, comments_of(document.id)))
            licence = own or document.licence
            if licence is None:
                tally.drop(document, "no licence found")
            elif not permitted(licence, self.keep):
                tally.drop(document, "licence of the file" if own else "licence of the repository")
            else:
                yield tally.change(document, replace(document, licence=licence))


@dataclass(frozen=True)
class HandWritten:
    """Drops what was copied from other projects, generated or minified."""

    name: ClassVar[str] = "hand-written"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            path = PurePosixPath(document.metadata["path"])
            if VENDORED.intersection(part.lower() for part in path.parts[:-1]):
                tally.drop(document, "vendored")
            elif GENERATED_NAMES.fullmatch(path.name):
                tally.drop(document, "generated or minified, by its name")
            elif self.says_so(document):
                tally.drop(document, "generated, as it says")
            else:
                yield tally.keep(document)

    def says_so(self, document: Document) -> bool:
        """Whether the comments at the top call the file generated."""
        start = document.text[:4000]
        return bool(MARKED.search(start[:1500]) or GENERATED.search(header(start, comments_of(document.id))))


@dataclass(frozen=True)
class Notebooks:
    """Notebooks become code."""

    name: ClassVar[str] = "notebooks"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if document.language != "notebook":
                yield tally.keep(document)
            elif (found := to_code(document.text)) is None:
                tally.drop(document, "not a notebook")
            else:
                text, language = found
                yield tally.change(document, replace(document, text=text, language=language))


@dataclass(frozen=True)
class Headers:
    """Takes licence and copyright paragraphs from the comments at the top."""

    name: ClassVar[str] = "headers"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            text, paragraphs = without_header(document.text, comments_of(document.id))
            tally.cut("licence paragraphs", paragraphs)
            yield tally.change(document, replace(document, text=text) if paragraphs else document)


@dataclass(frozen=True)
class Lines:
    """Line lengths in characters, and the share of letters and digits among all characters."""

    max_mean: float
    max_line: int
    min_alphanumeric: float
    min_characters: int
    name: ClassVar[str] = "lines"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if reason := self.fault(document.text):
                tally.drop(document, reason)
            else:
                yield tally.keep(document)

    def fault(self, text: str) -> str | None:
        """Why a text goes, or None."""
        if len(text.strip()) < self.min_characters:
            return "too short"
        lines = text.splitlines()
        if max(map(len, lines)) > self.max_line:
            return "a line too long"
        if sum(map(len, lines)) / len(lines) > self.max_mean:
            return "lines too long on average"
        if sum(map(str.isalnum, text)) / len(text) < self.min_alphanumeric:
            return "too few letters and digits"
        return None
