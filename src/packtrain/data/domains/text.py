"""your .txt, .md, .jsonl and .jsonl.zst files → documents of the domain "text"

One file is one document; beyond 10 000 characters it is cut at blank lines, so that a single book has a held-out part.
The pieces put together are the file again. A line of a .jsonl file is a document as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from packtrain.data.documents import SUFFIXES, Document, read_file
from packtrain.data.domain import Domain
from packtrain.data.step import AnyStep, DropEmpty, Skips
from packtrain.errors import UserError

NAME = "text"
PIECE_CHARACTERS = 10_000
NEEDS = "a file or a folder of .txt, .md, .jsonl or .jsonl.zst files"


@dataclass(frozen=True)
class Parameters:
    """suffixes: the names of plain text in a folder; a file that is given by itself is read whatever its name."""

    suffixes: tuple[str, ...] = (".txt", ".md")


def text_files(source: Path, parameters: Parameters = Parameters()) -> list[Path]:
    """Every file that is considered: the one given, or all below the folder but the hidden ones, sorted."""
    if not source.exists():
        raise UserError(f"input={source}: no such file or directory")
    if source.is_file():
        return [source]
    files = [p for p in source.rglob("*") if p.is_file() and not _hidden(p.relative_to(source))]
    if not files:
        raise UserError(f"input={source}: the folder is empty")
    return sorted(files)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The documents of one file; a split that a line says is kept."""
    if path.name.endswith(SUFFIXES):
        for document in read_file(path, skips.skip):
            yield replace(document, domain=NAME)
    elif path.suffix.lower() in parameters.suffixes:
        yield from _plain(path, name, skips)
    else:
        skips.skip("not .txt, .md or .jsonl")


def adjust(source: Path, parameters: Parameters) -> Parameters:
    """A file that is given by itself is meant."""
    return (
        replace(parameters, suffixes=(*parameters.suffixes, source.suffix.lower())) if source.is_file() else parameters
    )


def steps(parameters: Parameters) -> list[AnyStep]:
    return [DropEmpty()]


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


def _plain(path: Path, name: str, skips: Skips) -> Iterator[Document]:
    raw = path.read_bytes()
    if b"\0" in raw:
        skips.skip("binary")
        return
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        skips.skip("not UTF-8", error.start)
        return
    parts = pieces(text)
    for i, part in enumerate(parts or [""]):
        yield Document(name if len(parts) <= 1 else f"{name}#{i}", part, NAME, name)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


DOMAIN = Domain(NAME, Parameters, text_files, read, steps, NEEDS, adjust=adjust)
