"""your .txt, .md, .jsonl and .jsonl.zst files → documents of the domain "text"

One file is one document; beyond 10 000 characters it is cut at blank lines, so that a single book has a held-out part.
The pieces put together are the file again. A line of a .jsonl file is a document as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from packtrain.data.documents import SUFFIXES, Document, read_file, split_of
from packtrain.data.report import Report
from packtrain.errors import UserError

NAME = "text"
PLAIN = (".txt", ".md")
PIECE_CHARACTERS = 10_000
FEW = 200  # with fewer documents than this, chance may hold out none of them, or all


def generate(source: Path | None, held_out: float, report: Report) -> Iterator[Document]:
    """`source`: a file or a folder. The split is the document's own, else the hash of its id."""
    if source is None:
        raise UserError("domain=text needs input=PATH, a file or a folder of .txt, .md, .jsonl or .jsonl.zst files")
    documents = _documents(source, held_out, report)
    first = [document for document, _ in zip(documents, range(FEW), strict=False)]
    if len(first) < FEW:
        yield from both_splits(first, held_out)
    else:
        yield from chain(first, documents)


def text_files(source: Path) -> list[Path]:
    """Every file that is considered: the one given, or all below the folder but the hidden ones, sorted."""
    if not source.exists():
        raise UserError(f"input={source}: no such file or directory")
    if source.is_file():
        return [source]
    files = [p for p in source.rglob("*") if p.is_file() and not _hidden(p.relative_to(source))]
    if not files:
        raise UserError(f"input={source}: the folder is empty")
    return sorted(files)


def both_splits(documents: list[Document], held_out: float) -> list[Document]:
    """The documents with at least one of them on each side: a single one is cut in two, if it has two lines."""
    if len(documents) == 1:
        documents = _cut_in_two(documents[0], held_out)
    splits = {document.split for document in documents}
    if len(documents) < 2 or len(splits) == 2:
        return documents
    chosen = min(range(len(documents)), key=lambda i: len(documents[i].text))  # what costs the least training text
    wanted = "held_out" if splits == {"train"} else "train"
    if wanted == "train":
        chosen = max(range(len(documents)), key=lambda i: len(documents[i].text))
    return [replace(d, split=wanted) if i == chosen else d for i, d in enumerate(documents)]


def pieces(text: str, limit: int = PIECE_CHARACTERS) -> list[str]:
    """`text` in pieces of at most `limit` characters, cut at blank lines, else lines, else anywhere. Joined: `text`."""
    parts = [part for part in re.split(r"(?<=\n\n)(?=[^\n])", text) if part]
    for pattern in (r"(?<=\n)", None):
        finer: list[str] = []
        for part in parts:
            if len(part) <= limit:
                finer.append(part)
            elif pattern:
                finer += [line for line in re.split(pattern, part) if line]
            else:
                finer += [part[i : i + limit] for i in range(0, len(part), limit)]
        parts = finer
    out: list[str] = []
    for part in parts:
        if out and len(out[-1]) + len(part) <= limit:
            out[-1] += part
        else:
            out.append(part)
    return out


def _documents(source: Path, held_out: float, report: Report) -> Iterator[Document]:
    for path in text_files(source):
        name = path.name if path == source else path.relative_to(source).as_posix()
        if path.name.endswith(SUFFIXES):
            for document in read_file(path):
                if document.text.strip():
                    split = document.split or split_of(document.id, held_out)
                    yield replace(document, domain=NAME, split=split)
                else:
                    report.drop("empty")
        elif path.suffix.lower() in PLAIN or path == source:
            yield from _plain(path, name, held_out, report)
        else:
            report.drop("not .txt, .md or .jsonl")


def _plain(path: Path, name: str, held_out: float, report: Report) -> Iterator[Document]:
    raw = path.read_bytes()
    if b"\0" in raw:
        report.drop("binary")
        return
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        report.drop("not UTF-8")
        return
    if not text.strip():
        report.drop("empty")
        return
    parts = pieces(text)
    for i, part in enumerate(parts):
        identity = name if len(parts) == 1 else f"{name}#{i}"
        if part.strip():
            yield Document(identity, part, NAME, name, split=split_of(identity, held_out))
        else:
            report.drop("empty")


def _cut_in_two(document: Document, held_out: float) -> list[Document]:
    lines = document.text.splitlines(keepends=True)
    if len(lines) < 2:
        return [replace(document, split="train")]
    wanted, seen, cut = len(document.text) * (1 - held_out), 0, 0
    while cut < len(lines) - 1 and (cut == 0 or seen + len(lines[cut]) <= wanted):
        seen += len(lines[cut])
        cut += 1
    halves = ("".join(lines[:cut]), "train"), ("".join(lines[cut:]), "held_out")
    return [replace(document, id=f"{document.id}#{split}", text=text, split=split) for text, split in halves]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
