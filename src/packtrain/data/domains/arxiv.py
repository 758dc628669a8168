"""e-print (tar, gzip, zip, .tex) → one LaTeX text → macros expanded → first section to bibliography → long enough

The paper stays LaTeX. Comments go while the files are put together, for an \\input in a comment is none.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from packtrain.data import files
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.latex.macros import Expander
from packtrain.data.latex.sources import assembled, is_source, main_file
from packtrain.data.latex.trim import trimmed
from packtrain.data.length import LongEnough
from packtrain.data.packed import Limits, files_in
from packtrain.data.step import AnyStep, Skips, Tally
from packtrain.errors import UserError

NAME = "arxiv"
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".gz", ".zip", ".tar.bz2", ".tar.xz", ".tex", ".ltx")
IDENTITY = re.compile(r"(?:[a-z-]+(?:\.[A-Z]{2})?)?\d{4}[.]?\d{3,5}(?:v\d+)?")
TOLD = re.compile(r"^\s*(\S+)\s+toplevelfile", re.MULTILINE)
BULK = re.compile(r"arxiv_src_.*\.tar", re.IGNORECASE)  # as arXiv gives away whole months
BULK_LIMITS = Limits(archive=16 << 30, files=200_000)
READMES = ("00README.XXX", "00README", "00README.txt", "00README.yaml")


@dataclass(frozen=True)
class Parameters:
    """without_section: keep (from the abstract or title on) or drop. max_mib: of one paper's LaTeX."""

    without_section: str = "keep"
    min_characters: int = 1000
    max_mib: int = 16

    def __post_init__(self) -> None:
        if self.without_section not in ("keep", "drop"):
            raise UserError(f"domain.without_section={self.without_section}: expected keep or drop")


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    """The e-print, or every .tar.gz, .tar, .gz, .zip and .tex below a folder."""
    expected = "no e-prints here; expected .tar.gz, .gz, .tar, .zip or .tex (arxiv.org/e-print)"
    return files.find(path, lambda file: file.name.lower().endswith(ARCHIVES), expected)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """One paper, or those of a month: arXiv_src_1703_001.tar holds 1703/1703.09710.gz, a paper each."""
    if not BULK.fullmatch(path.name):
        yield from _paper(path, name, parameters, skips)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for member, content in files_in(path, lambda member: member.endswith((".gz", ".pdf")), skips, BULK_LIMITS):
            eprint = Path(scratch) / member.rpartition("/")[2]
            eprint.write_bytes(content)
            skips.file = f"{name}/{member}"
            for document in _paper(eprint, skips.file, parameters, skips):
                yield replace(document, source=name)
            skips.file = name
            eprint.unlink()


def _paper(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The main file with all it includes, without comments."""
    limits = Limits(file=parameters.max_mib << 20)
    paper = IDENTITY.match(path.name)
    sources: dict[str, str] = {}
    told, size, odd = None, 0, 0

    def wanted(member: str) -> bool:
        return is_source(member) or member.rpartition("/")[2] in READMES

    for member, content in files_in(path, wanted, skips, limits):
        if not content.strip():
            continue
        if content.startswith((b"%PDF", b"%!PS")):
            skips.skip("PDF or PostScript, no LaTeX", 0, member)
            continue
        if b"\0" in content:
            skips.skip("binary file", content.index(b"\0"), member)
            continue
        size += len(content)
        if size > limits.file:
            skips.skip("paper too large", 0, f"over {parameters.max_mib} MiB of LaTeX")
            break
        text, bad = decoded(content)
        odd += bad
        if member.rpartition("/")[2] in READMES:
            found = TOLD.search(text)
            told = found[1] if found else told
        else:
            sources[member] = text
    if not sources:
        return skips.skip("no LaTeX in it", 0)
    main = main_file(sources, paper[0] if paper else "", told)
    if main is None:
        return skips.skip("no main file", 0, ", ".join(sorted(sources))[:150])
    missed: Counter[str] = Counter()
    text = assembled(sources, main, missed)
    address = re.sub(r"^([a-z-]+(?:\.[A-Z]{2})?)(?=\d)", r"\1/", paper[0]) if paper else None  # astro-ph/0001001
    url = f"https://arxiv.org/abs/{address}" if address else None
    metadata = {"main": main, "files": len(sources), "not_utf8": odd, "missed": dict(missed)}
    yield Document(name, text, NAME, name, url=url, metadata=metadata)


def decoded(content: bytes) -> tuple[str, bool]:
    """(text, was it not UTF-8): other bytes are Windows-1252 one by one; a stray byte never costs the paper."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8"), False
    except UnicodeDecodeError:
        pass
    text = content.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda m: bytes([ord(m[0]) - 0xDC00]).decode("cp1252", "replace"), text), True


@dataclass(frozen=True)
class ExpandMacros:
    """The authors' macros expanded in line, their definitions taken out."""

    name: ClassVar[str] = "macros"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            expander = Expander()
            text = expander(document.text)
            tally.cut("macros expanded", sum(expander.expanded.values()))
            for what, count in expander.left.items():
                tally.cut(what, count)
            for what, count in document.metadata.get("missed", {}).items():
                tally.cut(what, count)
            yield tally.change(document, replace(document, text=text))


@dataclass(frozen=True)
class FirstSectionToBibliography:
    """The body: what stands before the first section, the bibliography and the appendix go."""

    without_section: str = "keep"
    name: ClassVar[str] = "body"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            body = trimmed(document.text)
            if body.begin is None:
                tally.drop(document, "no \\section and no \\begin{document}")
            elif body.begin != "section" and self.without_section == "drop":
                tally.drop(document, "no \\section")
            else:
                for what in body.cut:
                    tally.cut(what)
                if body.begin != "section":
                    tally.cut(f"no \\section: begins after the {body.begin}")
                metadata = {**document.metadata, "begins": body.begin}
                yield tally.change(document, replace(document, text=body.text, metadata=metadata))


def steps(parameters: Parameters) -> list[AnyStep]:
    body = FirstSectionToBibliography(parameters.without_section)
    return [ExpandMacros(), body, LongEnough(parameters.min_characters)]


DOMAIN = Domain(NAME, Parameters, inputs, read, steps, "an e-print (.tar.gz, .gz, .tex) or a folder of them")
