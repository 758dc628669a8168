"""documents passing by → counts, lengths, languages, licences and a sample, mergeable; before and after the cleaning

The sample is drawn by the hash of the id: the documents of smallest hash. It is the same in every order and on any
number of processes, and the same ids are found before and after.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from packtrain.data.documents import Document, key_number

SAMPLE_CHARACTERS = 4000  # of each sampled text; its whole length is told
RAW_SAMPLES = 200  # before cleaning more are remembered: most may be dropped
KEPT_SAMPLES = 10


@dataclass
class Statistics:
    """`lengths`: documents by the power of two at or under their length in characters."""

    samples: int = KEPT_SAMPLES
    documents: int = 0
    characters: int = 0
    bytes: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    sample: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # a heap: minus the hash, the document

    def watch(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Passes the documents on, counting."""
        for document in documents:
            self.add(document)
            yield document

    def add(self, document: Document) -> None:
        text = document.text
        self.documents += 1
        self.characters += len(text)
        self.bytes += len(text) if text.isascii() else len(text.encode())
        self.lengths[1 << (len(text).bit_length() - 1) if text else 0] += 1
        self.languages[document.language or "unknown"] += 1
        self.licences[document.licence or "unknown"] += 1
        rank = -key_number(document.id)
        if len(self.sample) < self.samples or rank > self.sample[0][0]:
            self._remember(rank, excerpt(document))

    def _remember(self, rank: int, shown: dict[str, Any]) -> None:
        if any(shown["id"] == known["id"] for _, known in self.sample):
            return
        heapq.heappush(self.sample, (rank, shown))
        if len(self.sample) > self.samples:
            heapq.heappop(self.sample)

    def merge(self, other: Statistics) -> None:
        self.documents += other.documents
        self.characters += other.characters
        self.bytes += other.bytes
        self.lengths.update(other.lengths)
        self.languages.update(other.languages)
        self.licences.update(other.licences)
        for rank, shown in other.sample:
            self._remember(rank, shown)

    def values(self) -> dict[str, Any]:
        """For report.json, without the sample."""
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "lengths": {str(length): count for length, count in sorted(self.lengths.items())},
            "languages": dict(self.languages.most_common()),
            "licences": dict(self.licences.most_common()),
        }

    def drawn(self) -> list[dict[str, Any]]:
        """The sample, in the order of its hashes."""
        return [shown for _, shown in sorted(self.sample, key=lambda entry: -entry[0])]


def excerpt(document: Document) -> dict[str, Any]:
    """What a report shows of a document."""
    shown = {"id": document.id, "url": document.url, "language": document.language, "licence": document.licence}
    values = {key: value for key, value in shown.items() if value is not None}
    return {**values, "characters": len(document.text), "text": document.text[:SAMPLE_CHARACTERS]}


def pairs(before: Statistics, after: Statistics) -> list[dict[str, Any]]:
    """Ten documents that were kept, each as it was and as it is; the text before is missing where too few were kept."""
    raw = {shown["id"]: shown for _, shown in before.sample}
    kept = after.drawn()
    chosen = [shown for shown in kept if shown["id"] in raw][:KEPT_SAMPLES]
    chosen += [shown for shown in kept if shown["id"] not in raw][: KEPT_SAMPLES - len(chosen)]
    return [{**shown, "before": raw.get(shown["id"])} for shown in chosen]


@dataclass
class DropSamples:
    """For every step and reason the few dropped documents of smallest hash."""

    each: int = 3
    known: dict[tuple[str, str], Statistics] = field(default_factory=dict)

    def add(self, document: Document, step: str, reason: str) -> None:
        self.known.setdefault((step, reason), Statistics(self.each)).add(document)

    def merge(self, other: DropSamples) -> None:
        for key, theirs in other.known.items():
            self.known.setdefault(key, Statistics(self.each)).merge(theirs)

    def values(self) -> list[dict[str, Any]]:
        return [
            {"step": step, "reason": reason, **shown, "text": shown["text"][:600]}
            for (step, reason), statistics in sorted(self.known.items())
            for shown in statistics.drawn()
        ]
