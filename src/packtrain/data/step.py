"""documents ─Step→ documents ─GlobalStep: collect per file → merge → apply→ documents, every fate counted in a Tally

A step is a frozen dataclass (its fields are its parameters) and a pure generator: no files, no clock, no chance that is
not seeded. Whatever goes in comes out through `tally.keep` or `tally.change`, or ends in `tally.drop` with a reason;
the runner checks that the sum is right. What never became a document (a broken record, a binary file) goes to `Skips`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import numpy as np

from packtrain.data.documents import Document
from packtrain.data.hash_ranges import ALL, Decision, Shard

FIRST_SKIPS = 20  # of each reason so many are remembered with file and offset


@dataclass
class Tally:
    """What one step did: documents `dropped` and pieces `removed`, by reason.

    `sink(document, step, reason)` gets what was dropped.
    """

    name: str
    kept: int = 0
    changed: int = 0  # among the kept
    dropped: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    sink: Callable[[Document, str, str], None] | None = None

    def keep(self, document: Document) -> Document:
        """The document goes on as it is."""
        self.kept += 1
        return document

    def change(self, before: Document, after: Document) -> Document:
        """The document goes on as `after`; counted as changed where the text differs."""
        self.kept += 1
        self.changed += before.text != after.text
        return after

    def drop(self, document: Document, reason: str) -> None:
        """The document ends here. `reason` is one of few: a count stands behind it, not a value of the document."""
        self.dropped[reason] += 1
        if self.sink is not None:
            self.sink(document, self.name, reason)

    def cut(self, reason: str, count: int = 1) -> None:
        """Pieces (lines, templates, boilerplate) removed inside documents that stay."""
        if count:
            self.removed[reason] += count

    def merge(self, other: Tally) -> None:
        """Adds what the same step did elsewhere."""
        self.kept += other.kept
        self.changed += other.changed
        self.dropped.update(other.dropped)
        self.removed.update(other.removed)

    @property
    def seen(self) -> int:
        return self.kept + self.dropped.total()

    def values(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "name": self.name,
            "seen": self.seen,
            "kept": self.kept,
            "changed": self.changed,
            "dropped": dict(sorted(self.dropped.items())),
            "cut": dict(sorted(self.removed.items())),
        }


def printable(text: str) -> str:
    """Control characters and bytes that are no text as escapes: names are of others' making, and end in a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class Skips:
    """What never became a document, counted by reason; of each reason the first ones with file and offset."""

    file: str = ""  # the one being read
    counts: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)

    def skip(self, reason: str, offset: int | None = None, detail: str = "") -> None:
        """`offset`: bytes into the file (or the number of the record, line or page where bytes are not known)."""
        self.counts[reason] += 1
        if self.counts[reason] <= FIRST_SKIPS:
            place = {"file": printable(self.file), "offset": offset, "detail": printable(detail[:200])}
            self.first.append({"reason": reason, **place})

    def merge(self, other: Skips) -> None:
        """Adds the skips of the files after these."""
        self.counts.update(other.counts)
        for skip in other.first:
            if sum(known["reason"] == skip["reason"] for known in self.first) < FIRST_SKIPS:
                self.first.append(skip)

    def values(self) -> dict[str, Any]:
        """For report.json."""
        return {"counts": dict(sorted(self.counts.items())), "first": self.first}


class Step(Protocol):
    """Decides about each document by itself."""

    name: ClassVar[str]

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]: ...


class GlobalStep(Protocol):
    """Needs every file before it can decide about one: deduplication, percentiles of a score.

    collect   hash: what one part of the input contributes, sorted by hash; must read all of `documents`
    merge     the parts (.npy, in the order of the files) → the table (.npy at `output`) of one range of the hashes
    gather    where the step has it: the tables of all ranges → one, for what no range can decide by itself
    apply     filter: the documents that stay, by the decision (memory-mapped)
    The order of parts is that of the sorted files: the result never depends on the number of processes, nor on that
    of the ranges.
    """

    name: ClassVar[str]

    def collect(self, documents: Iterable[Document]) -> np.ndarray: ...

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None: ...

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]: ...


@runtime_checkable
class Gathering(Protocol):
    """What a `GlobalStep` may have besides."""

    def gather(self, tables: Sequence[Path], output: Path, tick: Callable[[int], None]) -> None: ...


AnyStep = Step | GlobalStep


def is_global(step: AnyStep) -> TypeGuard[GlobalStep]:
    return hasattr(step, "collect")


def decide(step: GlobalStep, parts: Sequence[Path], folder: Path, shards: int = 1) -> Decision:
    """The whole merge in this process, its tables in `folder`; on many machines it is `stage_work`'s."""
    tables = [folder / f"{step.name.replace(' ', '-')}-{number}.npy" for number in range(shards)]
    for number, table in enumerate(tables):
        step.merge(parts, table, Shard(number, shards))
    if isinstance(step, Gathering):
        tables, ranges = [folder / f"{step.name.replace(' ', '-')}.npy"], tables
        step.gather(ranges, tables[0], lambda _: None)
    return Decision(tables)


@dataclass(frozen=True)
class DropEmpty:
    """Drops documents without a letter or digit to read; nearly every domain ends with it."""

    name: ClassVar[str] = "drop empty"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if document.text.strip():
                yield tally.keep(document)
            else:
                tally.drop(document, "empty")
