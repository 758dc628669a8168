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

from packtrain.data.documents import SUFFIXES, Document, key_number, read_file, split_in
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
    documents = _documents(source, report)
    first = [document for document, _ in zip(documents, range(FEW), strict=False)]
    if len(first) < FEW:
        yield from both_splits(first, held_out)
    else:
        yield from (replace(d, split=split_in(d, held_out)) for d in chain(first, documents))


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
    """Few documents with a split each: about `held_out` of their characters is held out, whatever the sizes.

    Documents that say their split keep it. Of the others, whole ones are held out in the order of their hash while
    they fit; where that is not enough the end of the longest is cut off, at a line.
    """
    free = sorted((d for d in documents if d.split is None), key=lambda d: key_number(d.id))
    wanted = held_out * sum(len(d.text) for d in documents) - sum(
        len(d.text) for d in documents if d.split == "held_out"
    )
    held: set[str] = set()
    seen = 0
    for document in free:
        if seen + len(document.text) <= 1.5 * wanted and len(held) + 1 < len(documents):
            held.add(document.id)
            seen += len(document.text)
    done = [replace(d, split=d.split or ("held_out" if d.id in held else "train")) for d in documents]
    rest = [d for d in free if d.id not in held]
    if seen >= wanted / 2 or not rest:
        return done
    longest = max(rest, key=lambda d: len(d.text))
    halves = _cut_in_two(longest, wanted - seen)
    if len(halves) == 1 and len(documents) > 1 and not held:  # one line each: the shortest goes whole
        shortest = min(rest, key=lambda d: len(d.text))
        return [replace(d, split="held_out") if d.id == shortest.id else d for d in done]
    return [half for d in done for half in (halves if d.id == longest.id else [d])]


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


def _documents(source: Path, report: Report) -> Iterator[Document]:
    for path in text_files(source):
        name = path.name if path == source else path.relative_to(source).as_posix()
        if path.name.endswith(SUFFIXES):
            for document in read_file(path, report.drop):
                if document.text.strip():
                    yield replace(document, domain=NAME)
                else:
                    report.drop("empty")
        elif path.suffix.lower() in PLAIN or path == source:
            yield from _plain(path, name, report)
        else:
            report.drop("not .txt, .md or .jsonl")


def _plain(path: Path, name: str, report: Report) -> Iterator[Document]:
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
            yield Document(identity, part, NAME, name)
        else:
            report.drop("empty")


def _cut_in_two(document: Document, characters: float) -> list[Document]:
    """The document without its last lines of about so many characters, and those; whole where it has one line."""
    lines = document.text.splitlines(keepends=True)
    cut, tail = len(lines), 0
    while cut > 1 and tail < characters:
        cut -= 1
        tail += len(lines[cut])
    halves = ("".join(lines[:cut]), "train"), ("".join(lines[cut:]), "held_out")
    if not all(text.strip() for text, _ in halves):
        return [replace(document, split="train")]
    return [replace(document, id=f"{document.id}#{split}", text=text, split=split) for text, split in halves]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
