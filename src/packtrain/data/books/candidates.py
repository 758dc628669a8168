"""every book's sketch → pairs of books that share most of one's sketch → groups that are worth comparing exactly

The sketch is a MinHash of no fixed size: the shingles whose hash is below 2^64 / `scale` (Irber et al. 2022 call it
FracMinHash). Unlike a fixed number of minima it estimates containment, so a novella inside a collection is found. With
a scale of 32, a book of 100 000 words has about 3 000 and the estimate is within one or two per cent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, Decision, Shard, merge, range_of, shards
from packtrain.data.shingles import Hashes, all_shingles, distinct
from packtrain.data.step import Tally

ROW = np.dtype([("hash", "<u8"), ("book", "<u8"), ("size", "<u8")])  # size: of the book's sketch
PAIR = np.dtype([("a", "<u8"), ("b", "<u8"), ("common", "<u8"), ("smaller", "<u8")])
GROUP = np.dtype([("book", "<u8"), ("group", "<u8")])
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
        """(hash, book, hashes of the book), sorted; the hashes drawn out over all 64 bits, by which merges shard."""
        parts = [np.empty(0, dtype=ROW)]
        for document in documents:
            hashes = sketch(document.text, self.scale) * np.uint64(self.scale)
            rows = np.empty(len(hashes), dtype=ROW)
            rows["hash"], rows["book"], rows["size"] = hashes, key_number(document.id), len(hashes)
            parts.append(rows)
        return np.sort(np.concatenate(parts), order=("hash", "book"))

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        """How many hashes of this range each two books share: (a, b, common, size of the smaller), sorted."""
        merge(parts, output, lambda rows: _pairs(rows, shard), ROW, shard)

    def gather(self, tables: Sequence[Path], output: Path, tick: Callable[[int], None]) -> None:
        """(book, group), sorted by book; the pairs of a range of books at a time are added up."""
        count = shards(sum(table.stat().st_size for table in tables))
        near = [np.empty((0, 2), np.uint64)]
        for number in range(count):
            pairs = range_of(tables, PAIR, Shard(number, count, tick))
            pairs = pairs[np.lexsort((pairs["b"], pairs["a"]))]
            starts = np.flatnonzero(np.append(True, np.diff(pairs["a"]) | np.diff(pairs["b"]))[: len(pairs)])
            common = np.add.reduceat(pairs["common"], starts) if len(starts) else starts
            pairs = pairs[starts]
            alike = pairs[common >= self.threshold * pairs["smaller"]]
            near.append(np.stack([alike["a"], alike["b"]], axis=1))
        np.save(output, _groups(np.concatenate(near).tolist()))

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            found = decision.rows(key_number(document.id))
            if len(found):
                tally.cut("candidates")
                metadata = {**document.metadata, FIELD: int(found["group"][0])}
                yield tally.change(document, replace(document, metadata=metadata))
            else:
                yield tally.keep(document)


def _pairs(rows: npt.NDArray, shard: Shard) -> npt.NDArray:
    """How many of these hashes each two books share; `rows` sorted by hash."""
    rows = np.sort(rows, order=("hash", "book"))
    of_book = dict(zip(rows["book"].tolist(), rows["size"].tolist(), strict=True))
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
                shard.tick(1)
    table = [(*pair, common, min(of_book[book] for book in pair)) for pair, common in sorted(found.items())]
    return np.array(table, dtype=PAIR)


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
