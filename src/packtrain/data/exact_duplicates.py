"""documents with the very same text, byte for byte after cleaning: the first of each stays

collect: (hash of the text, hash of the id) per document, in order of the first → merge: one range of hashes after
the other, from the memory-mapped parts → the ids that go, sorted → apply
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.documents import Document, key_number
from packtrain.data.step import Tally

ROW = np.dtype([("text", "<u8"), ("more", "<u8"), ("id", "<u8")])  # 128 bits of the text: no two differ and agree
RANGES = 64


@dataclass(frozen=True)
class ExactDuplicates:
    """The documents of the first file in order keep their text, whichever process read them."""

    name: ClassVar[str] = "exact duplicates"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        rows = np.fromiter((_row(document) for document in documents), dtype=ROW)
        return rows[np.argsort(rows["text"], kind="stable")]

    def merge(self, parts: list[Path], output: Path) -> None:
        """Bounded by the largest range, a 64th of the rows."""
        opened = [np.load(part, mmap_mode="r") for part in parts]
        edges = [np.uint64((number << 64) // RANGES) for number in range(1, RANGES)]
        cuts = [[0, *np.searchsorted(part["text"], np.array(edges, dtype=np.uint64)), len(part)] for part in opened]
        gone = []
        for number in range(RANGES):
            rows = [part[cut[number] : cut[number + 1]] for part, cut in zip(opened, cuts, strict=True)]
            here = np.concatenate(rows) if rows else np.empty(0, ROW)
            first = np.unique(here[["text", "more"]], return_index=True)[1]
            gone.append(np.delete(here["id"], first))
        np.save(output, np.sort(np.concatenate(gone)) if gone else np.empty(0, "<u8"))

    def apply(self, documents: Iterable[Document], decision: np.ndarray, tally: Tally) -> Iterator[Document]:
        for document in documents:
            key = np.uint64(key_number(document.id))
            place = np.searchsorted(decision, key)
            if place < len(decision) and decision[place] == key:
                tally.drop(document, "exact duplicate")
            else:
                yield tally.keep(document)


def _row(document: Document) -> tuple[int, int, int]:
    digest = hashlib.blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"), key_number(document.id)
