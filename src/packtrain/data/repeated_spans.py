"""documents ─sentences → every three in a row → hash─ per file → merge: first owner of repeated ones → others cut

C4 (Raffel et al., 2020): of any three-sentence span that occurs more than once in the data, all but one go. The one
that stays is the first in the order of the files. Sentences are compared as `repeated_lines.normalised` sees them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, ENTRY, Decision, Shard, gather, merge, repeated
from packtrain.data.repeated_lines import line_hash
from packtrain.data.sentences import sentences
from packtrain.data.step import Tally
from packtrain.errors import UserError


@dataclass(frozen=True)
class RepeatedSpans:
    """length: sentences of a span; 0 switches it off. A page with fewer than min_sentences left is dropped."""

    length: int = 3
    min_sentences: int = 3
    name: ClassVar[str] = "repeated spans"

    def __post_init__(self) -> None:
        if self.length < 0:
            raise UserError(f"repeated_spans.length={self.length}: expected 0 or more")

    def _spans(self, text: str) -> tuple[list[list[str]], np.ndarray]:
        """The sentences of each line, and the hashes of the spans, one for each first sentence."""
        lines = [sentences(line) for line in text.split("\n")]
        flat = np.array([line_hash(s) for line in lines for s in line], np.uint64)
        count = len(flat) - self.length + 1
        spans = np.zeros(max(count, 0), np.uint64)
        for i in range(self.length if count > 0 else 0):
            spans = spans * np.uint64(0x9E3779B97F4A7C15) + (
                flat[i : i + count] ^ (flat[i : i + count] >> np.uint64(29))
            )
        return lines, spans

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """The first two entries of each span."""
        return gather((self._spans(document.text)[1], key_number(document.id)) for document in documents)

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        merge(parts, output, repeated, ENTRY, shard)

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            lines, spans = self._spans(document.text)
            there, keeping = decision.find(spans)
            cut: set[int] = set()
            own = key_number(document.id)
            seen: set[int] = set()
            for first in np.flatnonzero(there):
                if int(keeping["owner"][first]) != own or int(spans[first]) in seen:
                    cut.update(range(first, first + self.length))
                seen.add(int(spans[first]))
            if not cut:
                yield tally.keep(document)
                continue
            if sum(map(len, lines)) - len(cut) < max(self.min_sentences, 1):
                tally.drop(document, "too few sentences beside repeated ones")
                continue
            tally.cut("repeated sentence", len(cut))
            yield tally.change(document, replace(document, text=_without(lines, cut)))


def _without(lines: list[list[str]], cut: set[int]) -> str:
    """The lines put together again without the sentences of these numbers; a line that loses all goes."""
    out: list[str] = []
    number = 0
    for line in lines:
        left = [s for i, s in enumerate(line, number) if i not in cut]
        number += len(line)
        if left:
            out.append(" ".join(left))
    return "\n".join(out)
