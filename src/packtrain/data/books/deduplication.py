"""groups of candidates → exact share of content in common → of each set of editions the longest is kept

Two books have |A ∩ B| / min(|A|, |B|) of their content in common, A and B their sets of five-word shingles
(`shingles`). Over the limit (0.9, LLaMA section 2.1) the one with fewer shingles goes; of equals the later id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.books.candidates import FIELD
from packtrain.data.books.shingles import containment, shingles
from packtrain.data.documents import Document, key_number
from packtrain.data.step import Tally

ID_BYTES = 240
ROW = np.dtype([("group", "<u8"), ("book", "<u8"), ("hash", "<u8"), ("id", f"S{ID_BYTES}")])
DROPPED = np.dtype([("book", "<u8"), ("common", "<f4"), ("kept", f"S{ID_BYTES}")])
REASON = "over {:.0%} in common with a longer book"


@dataclass(frozen=True)
class BookDeduplication:
    """Drops books with more than `over` of their content in another that is kept; exact, among the candidates."""

    over: float = 0.9
    name: ClassVar[str] = "book-level deduplication"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """(group, book, hash, id) for candidates alone; the id stands with a book's first hash."""
        parts = [np.empty(0, dtype=ROW)]
        for document in documents:
            if FIELD in document.metadata:
                hashes = shingles(document.text)
                rows = np.zeros(len(hashes), dtype=ROW)
                rows["group"], rows["book"], rows["hash"] = document.metadata[FIELD], key_number(document.id), hashes
                rows["id"][:1] = document.id.encode("utf-8", "surrogatepass")[:ID_BYTES]
                parts.append(rows)
        return np.concatenate(parts)

    def merge(self, parts: list[Path], output: Path) -> None:
        """(book, share in common, id of the kept one), sorted by book; holds one group at a time."""
        tables = [np.load(part, mmap_mode="r") for part in parts]
        groups = sorted({group for table in tables for group in np.unique(table["group"]).tolist()})
        dropped = [row for group in groups for row in self._decide(group, tables)]
        np.save(output, np.sort(np.array(dropped, dtype=DROPPED), order="book"))

    def _decide(self, group: int, tables: list[np.ndarray]) -> Iterator[tuple[int, float, bytes]]:
        rows = np.concatenate([table[table["group"] == group] for table in tables])
        books = [rows[rows["book"] == book] for book in np.unique(rows["book"])]
        books.sort(key=lambda book: (-len(book), max(book["id"].tolist())))  # the longest first
        kept: list[np.ndarray] = []
        for book in books:
            shares = [containment(book["hash"], other["hash"]) for other in kept]
            best = int(np.argmax(shares)) if shares else -1
            if shares and shares[best] > self.over:
                yield int(book["book"][0]), shares[best], max(kept[best]["id"].tolist())
            else:
                kept.append(book)

    def apply(self, documents: Iterable[Document], decision: np.ndarray, tally: Tally) -> Iterator[Document]:
        reason = REASON.format(self.over)
        for document in documents:
            key = np.uint64(key_number(document.id))
            at = int(np.searchsorted(decision["book"], key))
            metadata = {name: value for name, value in document.metadata.items() if name != FIELD}
            if at < len(decision) and decision["book"][at] == key:
                row = decision[at]
                found = {"duplicate_of": bytes(row["kept"]).decode("utf-8", "replace"), "common": float(row["common"])}
                tally.drop(replace(document, metadata={**metadata, **found}), reason)
            else:
                yield tally.change(document, replace(document, metadata=metadata))
