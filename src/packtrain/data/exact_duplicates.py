"""documents with the very same text, byte for byte after cleaning: the first of each stays

collect: (hash of the text, hash of the id) per document, in order of the first → merge: of each text all but the first
(hash_ranges) → the ids that go, sorted → apply
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data import hash_ranges
from packtrain.data.documents import Document, key_number
from packtrain.data.step import Tally

ROW = np.dtype([("hash", "<u8"), ("more", "<u8"), ("id", "<u8")])  # 128 bits of the text: no two differ and agree


@dataclass(frozen=True)
class ExactDuplicates:
    """The documents of the first file in order keep their text, whichever process read them."""

    name: ClassVar[str] = "exact duplicates"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        rows = np.fromiter((_row(document) for document in documents), dtype=ROW)
        return rows[np.argsort(rows["hash"], kind="stable")]

    def merge(self, parts: list[Path], output: Path) -> None:
        hash_ranges.merge(parts, output, _later, ROW, np.dtype("<u8"))
        gone = np.load(output, mmap_mode="r+")
        gone.sort()

    def apply(self, documents: Iterable[Document], decision: np.ndarray, tally: Tally) -> Iterator[Document]:
        for document in documents:
            there, _ = hash_ranges.contains(decision, np.array([key_number(document.id)], np.uint64))
            if there[0]:
                tally.drop(document, "exact duplicate")
            else:
                yield tally.keep(document)


def _later(rows: np.ndarray) -> np.ndarray:
    """The ids of all but the first of each text; `rows` sorted stably by hash."""
    return np.delete(rows["id"], np.unique(rows[["hash", "more"]], return_index=True)[1])


def _row(document: Document) -> tuple[int, int, int]:
    digest = hashlib.blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"), key_number(document.id)
