"""documents that say nearly the same, in any domain: of those that share a bucket of their MinHash the first stays

text ─every five words in a row, hashed→ bands × rows minima (Broder, 1997) → a bucket for each band ─hash→ per file
→ merge: buckets of more than one document, with the first → filter: documents in another's bucket go

Two documents whose sets of shingles have Jaccard similarity s share a bucket with probability 1 - (1 - s^rows)^bands:
with 14 bands of 8 rows 5 % at s = 0.5, 77 % at 0.75, 99.97 % at 0.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, ENTRY, Decision, Shard, gather, merge, repeated
from packtrain.data.shingles import Hashes, all_shingles, mixed
from packtrain.data.step import Tally
from packtrain.errors import UserError

AT_ONCE = 1 << 10  # shingles whose hashes are drawn anew at a time


@dataclass(frozen=True)
class MinHash:
    """bands: buckets of a document; 0 switches it off. rows: minima that must agree for a bucket."""

    bands: int = 0
    rows: int = 8
    name: ClassVar[str] = "minhash"

    def __post_init__(self) -> None:
        if self.bands < 0 or self.rows < 1:
            raise UserError(f"prepare.minhash: bands={self.bands}, rows={self.rows}; expected bands=14, say, or 0 for "
                            "none, and rows of at least 1")  # fmt: skip

    @cached_property
    def _functions(self) -> tuple[Hashes, Hashes]:
        """x → a x + b modulo 2^64, one for each minimum."""
        numbers = mixed(np.arange(1, 2 * self.bands * self.rows + 1, dtype=np.uint64))
        return numbers[::2] | np.uint64(1), numbers[1::2]

    def buckets(self, text: str) -> Hashes:
        """(bands,) hashes; none of a text without words."""
        hashes = all_shingles(text)
        if not len(hashes):
            return hashes
        a, b = self._functions
        minima = np.full(self.bands * self.rows, np.uint64(2**64 - 1))
        for at in range(0, len(hashes), AT_ONCE):
            minima = np.minimum(minima, (hashes[at : at + AT_ONCE, None] * a + b).min(axis=0))
        buckets = np.arange(1, self.bands + 1, dtype=np.uint64)
        for row in minima.reshape(self.bands, self.rows).T:
            buckets = mixed(buckets * np.uint64(0x9E3779B97F4A7C15) ^ row)
        return buckets

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """The first two entries of each bucket."""
        return gather((self.buckets(document.text), key_number(document.id)) for document in documents)

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        merge(parts, output, repeated, ENTRY, shard)

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            there, first = decision.find(self.buckets(document.text))
            if (there & (first["owner"] != key_number(document.id))).any():
                tally.drop(document, "near duplicate")
            else:
                yield tally.keep(document)
