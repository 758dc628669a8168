"""tokens of a pack → the documents that they are from, and how those were made

sample ─mixture→ (domain, block) ─shards' headers→ documents ─provenance→ id, URL, raw file, steps
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from packtrain.data.provenance import Entry, entries, sources, unit_of
from packtrain.data.shards import Shards
from packtrain.errors import Failure, UserError


@dataclass(frozen=True)
class Piece:
    """Tokens `start` … `end` of a domain's line are of this document; it has `whole` tokens, BOS and EOS included."""

    start: int
    end: int
    whole: int
    document: Entry


def trace(pack: Path, domain: str, split: str, start: int, count: int) -> list[Piece]:
    """The documents of tokens `start` … `start + count` of a domain, in order.

    Raises `UserError` where there are no such tokens, or nothing is known of where they are from.
    """
    shards = Shards(pack, domain, split)
    if not 0 <= start < len(shards):
        raise UserError(f"token={start}: {domain} has tokens 0 … {len(shards) - 1}")
    before: dict[str, int] = {}  # documents of the same unit in earlier chunks
    in_unit: dict[int, int] = {}
    for chunk, items, _ in shards.chunks():
        before[chunk] = in_unit.get(unit_of(chunk), 0)
        in_unit[unit_of(chunk)] = before[chunk] + items
    found, reading = [], _Reader(pack, domain, split)
    for chunk, number, first, end in shards.documents_at(start, count):
        entry = reading.entry(unit_of(chunk), before[chunk] + number)
        found.append(Piece(max(start, first), min(start + count, end), end - first, entry))
    return found


class _Reader:
    """Entries by number, in rising order, each unit's file read once."""

    def __init__(self, pack: Path, domain: str, split: str) -> None:
        self.pack, self.domain, self.split = pack, domain, split
        self.unit, self.place = -1, 0
        self.lines: Iterator[Entry] = iter(())

    def entry(self, unit: int, number: int) -> Entry:
        if unit != self.unit:
            self.unit, self.place, self.lines = unit, 0, entries(self.pack, self.domain, self.split, unit)
        entry = next(islice(self.lines, number - self.place, None), None)
        self.place = number + 1
        if entry is None:
            raise Failure(f"{self.pack}: provenance of {self.domain} ends before document {number} of unit {unit}")
        return entry


def told(pack: Path, pieces: list[Piece]) -> list[dict[str, Any]]:
    """Of each piece its tokens, its document, and how the file of documents was prepared."""
    known = sources(pack)
    return [
        {"tokens": [p.start, p.end], "of": p.whole, **asdict(p.document), "prepared": known.get(p.document.file)}
        for p in pieces
    ]


def lines(pack: Path, pieces: list[Piece]) -> Iterator[str]:
    """For a terminal: a line for each document, and one for how each file of documents was made."""
    for piece in pieces:
        document = piece.document
        url = f"  {document.url}" if document.url else ""
        yield f"tokens {piece.start:,} … {piece.end:,}  {document.id}{url}  from {document.source} ({document.file})"
    known = sources(pack)
    for file in dict.fromkeys(piece.document.file for piece in pieces):
        made = known.get(file)
        if made is None:
            yield f"{file}: no report of how it was prepared"
            continue
        settings = made.get("settings") or {}
        versions = f"version {settings.get('version')}, code {settings.get('code')}"
        yield f"{file}: domain={settings.get('domain')}, {versions}, input={settings.get('input')}"
        yield f"  steps: {', '.join(made['steps']) or 'none told'}"
