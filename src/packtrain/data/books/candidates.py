"""every book's sketch → pairs of books that share most of one's sketch → groups that are worth comparing exactly

The sketch is a MinHash of no fixed size: the shingles whose hash is below 2^64 / `scale` (Irber et al. 2022 call it
FracMinHash). Unlike a fixed number of minima it estimates containment, so a novella inside a collection is found. With
a scale of 32, a book of 100 000 words has about 3 000 and the estimate is within one or two per cent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from packtrain.data.books.shingles import Hashes, all_shingles, distinct
from packtrain.data.documents import Document, key_number
from packtrain.data.step import Tally

ROW = np.dtype([("hash", "<u8"), ("book", "<u8")])
GROUP = np.dtype([("book", "<u8"), ("group", "<u8")])
ROWS_AT_ONCE = 1 << 22
MOST_BOOKS = 100  # a shingle in more books than this is a phrase of the trade and says nothing of two of them
FIELD = "near_duplicates"


def sketch(text: str, scale: int) -> Hashes:
    """The distinct shingles whose hash is below 2^64 / scale."""
    hashes = all_shingles(text)
    return distinct(hashes[hashes < np.uint64(((1 << 64) // scale) - 1)])


@dataclass(frozen=True)
class BookCandidates:
    """Marks books that seem to share at least `threshold` of the smaller's content with another; drops none."""

    scale: int = 32
    threshold: float = 0.7
    name: ClassVar[str] = "near-duplicate candidates"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """(hash, book), sorted."""
        parts = [np.empty(0, dtype=ROW)]
        for document in documents:
            hashes = sketch(document.text, self.scale)
            rows = np.empty(len(hashes), dtype=ROW)
            rows["hash"], rows["book"] = hashes, key_number(document.id)
            parts.append(rows)
        return np.sort(np.concatenate(parts), order=("hash", "book"))

    def merge(self, parts: list[Path], output: Path) -> None:
        """(book, group), sorted by book; holds a slice of the hashes at a time, and a number per pair of books."""
        tables = [np.load(part, mmap_mode="r") for part in parts]
        sizes: Counter[int] = Counter()
        pairs: Counter[tuple[int, int]] = Counter()
        for rows in _slices(tables):
            books, counts = np.unique(rows["book"], return_counts=True)
            sizes.update(dict(zip(books.tolist(), counts.tolist(), strict=True)))
            pairs.update(_pairs(rows))
        near = [pair for pair, common in pairs.items() if common >= self.threshold * min(sizes[p] for p in pair)]
        np.save(output, _groups(near))

    def apply(self, documents: Iterable[Document], decision: np.ndarray, tally: Tally) -> Iterator[Document]:
        for document in documents:
            key = np.uint64(key_number(document.id))
            at = int(np.searchsorted(decision["book"], key))
            if at < len(decision) and decision["book"][at] == key:
                tally.cut("candidates")
                metadata = {**document.metadata, FIELD: int(decision["group"][at])}
                yield tally.change(document, replace(document, metadata=metadata))
            else:
                yield tally.keep(document)


def _slices(tables: list[npt.NDArray]) -> Iterator[npt.NDArray]:
    """All rows of the tables, a range of hashes at a time, sorted."""
    total = sum(len(table) for table in tables)
    highest = max((int(table["hash"][-1]) for table in tables if len(table)), default=0)
    count = max(1, -(-total // ROWS_AT_ONCE))
    bounds = [np.uint64(highest * i // count) for i in range(1, count)]
    edges = [[0, *np.searchsorted(table["hash"], bounds).tolist(), len(table)] for table in tables]
    for i in range(count):
        rows = [table[edge[i] : edge[i + 1]] for table, edge in zip(tables, edges, strict=True)]
        yield np.sort(np.concatenate([np.empty(0, dtype=ROW), *rows]), order=("hash", "book"))


def _pairs(rows: npt.NDArray) -> Counter[tuple[int, int]]:
    """How many hashes each two books share."""
    found: Counter[tuple[int, int]] = Counter()
    change = np.flatnonzero(np.diff(rows["hash"])) + 1
    starts = np.concatenate([[0], change])
    ends = np.concatenate([change, [len(rows)]])
    sizes = ends - starts
    shared = (sizes > 1) & (sizes <= MOST_BOOKS)
    for size in np.unique(sizes[shared]):
        books = rows["book"][starts[shared & (sizes == size)][:, None] + np.arange(size)]  # (hashes, size)
        for i in range(size):
            for j in range(i + 1, size):
                pair, count = np.unique(books[:, [i, j]], axis=0, return_counts=True)
                found.update({(int(a), int(b)): int(n) for (a, b), n in zip(pair, count, strict=True)})
    return found


def _groups(pairs: list[tuple[int, int]]) -> npt.NDArray:
    """Books joined by pairs, directly or through others, under the smallest of their numbers."""
    parent: dict[int, int] = {}

    def root(book: int) -> int:
        while (up := parent.setdefault(book, book)) != book:
            parent[book] = parent[up]
            book = up
        return book

    for a, b in sorted(pairs):
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    rows = np.array([(book, root(book)) for book in sorted(parent)], dtype=GROUP)
    return rows
