"""documents with the very same text, byte for byte after cleaning: the first of each stays

collect: (hash of the text, document) → merge: of each text that stands more than once the first document (hash_ranges)
→ apply: a document whose text is another's goes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, Decision, Shard, first_two, merge, repeated
from packtrain.data.step import Tally

ROW = np.dtype([("hash", "<u8"), ("more", "<u8"), ("owner", "<u8")])  # 128 bits of the text: no two differ and agree


@dataclass(frozen=True)
class ExactDuplicates:
    """The documents of the first file in order keep their text, whichever process read them."""

    name: ClassVar[str] = "exact duplicates"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """Sorted by hash, in the order of the documents: the first two entries of each."""
        return first_two(_sorted(np.fromiter((_row(document) for document in documents), dtype=ROW)))

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        merge(parts, output, lambda rows: repeated(_sorted(rows)), ROW, shard)

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            text, more, own = _row(document)
            same = decision.rows(text)
            if (same["owner"][same["more"] == more] != own).any():
                tally.drop(document, "exact duplicate")
            else:
                yield tally.keep(document)


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((rows["more"], rows["hash"]))]


def _row(document: Document) -> tuple[int, int, int]:
    digest = hashlib.blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"), key_number(document.id)
