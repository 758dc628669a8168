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
from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, Decision, Shard, merge
from packtrain.data.shingles import containment, shingles
from packtrain.data.step import Tally

ID_BYTES = 240
# `part` 0: a shingle's hash; 1, 2, …: eight bytes of the book's id each
ROW = np.dtype([("group", "<u8"), ("book", "<u8"), ("hash", "<u8"), ("part", "<u8")])
DROPPED = np.dtype([("group", "<u8"), ("book", "<u8"), ("common", "<f8"), ("kept", f"S{ID_BYTES}")])
REASON = "over {:.0%} in common with a longer book"


@dataclass(frozen=True)
class BookDeduplication:
    """Drops books with more than `over` of their content in another that is kept; exact, among the candidates."""

    over: float = 0.9
    name: ClassVar[str] = "book-level deduplication"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """Rows of the candidates alone, those of one group beside each other."""
        books = [_rows(document) for document in documents if FIELD in document.metadata]
        books.sort(key=lambda rows: (int(rows["group"][0]), int(rows["book"][0])))
        return np.concatenate([np.empty(0, dtype=ROW), *books])

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        """(group, book, share in common, id of the kept one), sorted by group; a group lies in one shard."""
        merge(parts, output, lambda rows: self._of_groups(rows, shard), ROW, shard)

    def _of_groups(self, rows: np.ndarray, shard: Shard) -> np.ndarray:
        dropped = []
        for group in np.split(rows, np.flatnonzero(np.diff(rows["group"])) + 1) if len(rows) else ():
            dropped += [(int(group["group"][0]), *row) for row in self._decide(group, shard)]
        return np.sort(np.array(dropped, dtype=DROPPED), order=("group", "book"))

    def _decide(self, rows: np.ndarray, shard: Shard) -> Iterator[tuple[int, float, bytes]]:
        """What goes of one group."""
        books: list[tuple[bytes, int, np.ndarray]] = []
        for book in np.unique(rows["book"]):
            own = rows[rows["book"] == book]
            books.append(
                (own["hash"][own["part"] > 0].tobytes().rstrip(b"\0"), int(book), own["hash"][own["part"] == 0])
            )
        books.sort(key=lambda book: (-len(book[2]), book[0]))  # the longest first
        kept: list[tuple[bytes, int, np.ndarray]] = []
        for book in books:
            shard.tick(1)
            shares = [containment(book[2], other[2]) for other in kept]
            best = int(np.argmax(shares)) if shares else -1
            if shares and shares[best] > self.over:
                yield book[1], shares[best], kept[best][0]
            else:
                kept.append(book)

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        reason = REASON.format(self.over)
        for document in documents:
            gone = decision.rows(document.metadata[FIELD]) if FIELD in document.metadata else ()
            metadata = {name: value for name, value in document.metadata.items() if name != FIELD}
            row = next((row for row in gone if row["book"] == key_number(document.id)), None)
            if row is not None:
                common = float(np.float32(row["common"]))
                found = {"duplicate_of": bytes(row["kept"]).decode("utf-8", "replace"), "common": common}
                tally.drop(replace(document, metadata={**metadata, **found}), reason)
            else:
                yield tally.change(document, replace(document, metadata=metadata))


def _rows(document: Document) -> np.ndarray:
    """A candidate's shingles, and its id in pieces."""
    hashes = shingles(document.text)
    name = document.id.encode("utf-8", "surrogatepass")[:ID_BYTES]
    pieces = np.frombuffer(name.ljust(-(-len(name) // 8) * 8, b"\0"), dtype="<u8")
    rows = np.empty(len(hashes) + len(pieces), dtype=ROW)
    rows["group"], rows["book"] = document.metadata[FIELD], key_number(document.id)
    rows["hash"] = np.concatenate([hashes, pieces])
    rows["part"] = np.concatenate([np.zeros(len(hashes)), np.arange(1, len(pieces) + 1)])
    return rows
