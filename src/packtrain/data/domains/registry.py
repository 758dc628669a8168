"""name of a domain → how its documents are made. To add a domain: one file beside this one, one line here."""

from __future__ import annotations

import hashlib
import platform
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packtrain.data.documents import Document
from packtrain.data.domains import python_code, python_prose, text, unicode
from packtrain.data.report import Report
from packtrain.errors import UserError, did_you_mean

Generate = Callable[[Path | None, float, Report], Iterator[Document]]


@dataclass(frozen=True)
class Source:
    """`generate(input, held_out, report)` yields the kept documents and reports the dropped ones.

    `origin(input)` is a short text that changes when the raw data does: the same origin, the same documents.
    """

    generate: Generate
    origin: Callable[[Path | None], str]


def files_origin(source: Path | None) -> str:
    """A digest over names, sizes and times of change of the files below `source`; reading none of them."""
    if source is None:
        return "none"
    digest = hashlib.sha256()
    for path in text.text_files(source):
        name = path.name if path == source else path.relative_to(source).as_posix()
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return f"files {digest.hexdigest()[:16]}"


def _python(source: Path | None) -> str:
    return f"Python {platform.python_version()}" if source is None else files_origin(source)


DOMAINS: dict[str, Source] = {
    python_code.NAME: Source(python_code.generate, _python),
    python_prose.NAME: Source(python_prose.generate, _python),
    unicode.NAME: Source(unicode.generate, lambda _: f"Unicode {unicodedata.unidata_version}"),
    text.NAME: Source(text.generate, files_origin),
}


def source_of(domain: str) -> Source:
    """The source of a domain, or a `UserError` that lists the known ones."""
    if domain not in DOMAINS:
        raise UserError(f"domain={domain}: unknown domain{did_you_mean(domain, DOMAINS)}")
    return DOMAINS[domain]
