"""sorted parts (.npy) ─range of hashes by range: Shard→ decide → a table (.npy) each → Decision: what is said of a hash

A merge is cut into equal ranges of the 64-bit hashes. Of each part a range reads its own rows alone, so its memory is
that of a range whatever the size of the whole, and any process of any machine can make it. The tables stay apart: who
looks a hash up knows by its upper bits where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHARD_BYTES = 1 << 28  # of parts: what a merge holds in memory at a time, four or five times over while it sorts
ENTRY = np.dtype([("hash", "<u8"), ("owner", "<u8")])  # something found in a document, and the document's key


def _no_watch(count: int) -> None:
    pass


@dataclass(frozen=True)
class Shard:
    """Range `number` of `count`. `tick` is called as a sign of life."""

    number: int = 0
    count: int = 1
    tick: Callable[[int], None] = _no_watch

    def slice(self, hashes: np.ndarray) -> slice:
        """Where the range lies among sorted hashes."""
        first = int(np.searchsorted(hashes, _edge(self.number, self.count))) if self.number else 0
        last = self.number + 1 == self.count
        return slice(first, len(hashes) if last else int(np.searchsorted(hashes, _edge(self.number + 1, self.count))))


ALL = Shard()


def shards(size: int) -> int:
    """How many ranges the merge of `size` bytes of parts is cut into."""
    return max(1, -(-size // SHARD_BYTES))


def range_of(parts: Iterable[Path], dtype: np.dtype, shard: Shard = ALL) -> np.ndarray:
    """A range of all parts, sorted stably by hash: equal ones in the order of the parts.

    parts: 1-D arrays of `dtype`, sorted by hash: the number itself, or the first field. One is open at a time.
    """
    found = [np.empty(0, dtype)]
    for part in parts:
        array = np.load(part, mmap_mode="r")
        found.append(np.array(array[shard.slice(key(array))]))
        shard.tick(1)
    here = np.concatenate(found)
    del found
    return here[np.argsort(key(here), kind="stable")]


def merge(
    parts: Iterable[Path], output: Path, decide: Callable[[np.ndarray], np.ndarray], dtype: np.dtype, shard: Shard
) -> None:
    """`decide`: the rows of a range → its table, sorted by hash; an entry is decided by those of its hash alone."""
    np.save(output, decide(range_of(parts, dtype, shard)))


def key(array: np.ndarray) -> np.ndarray:
    """The hashes of an array of hashes, or of rows whose first field they are."""
    return array[array.dtype.names[0]] if array.dtype.names else array


class Decision:
    """The tables of a merge in the order of their ranges, memory-mapped when they are first asked."""

    def __init__(self, tables: Sequence[Path | np.ndarray]) -> None:
        self._tables = list(tables)
        self._edges = np.array([_edge(i, len(tables)) for i in range(1, len(tables))], np.uint64)

    def table(self, number: int = 0) -> np.ndarray:
        """That of one range; of a merge that gathers there is one."""
        table = self._tables[number]
        if isinstance(table, Path):
            self._tables[number] = table = np.load(table, mmap_mode="r")
        return table

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(which of `hashes` (N,) stand in it, the first row of each (N,): zeros where there is none)."""
        there, found = np.zeros(len(hashes), bool), np.zeros(len(hashes), self.table().dtype)
        ranges = np.searchsorted(self._edges, hashes, side="right")
        for number in np.unique(ranges).tolist():
            here, table = np.flatnonzero(ranges == number), self.table(number)
            place = np.searchsorted(key(table), hashes[here])
            here, place = here[place < len(table)], place[place < len(table)]
            same = key(table)[place] == hashes[here]
            there[here[same]], found[here[same]] = True, table[place[same]]
        return there, found

    def rows(self, hash_: int) -> np.ndarray:
        """All rows of one hash."""
        value = np.uint64(hash_)
        table = self.table(int(np.searchsorted(self._edges, value, side="right")))
        return table[np.searchsorted(key(table), value) : np.searchsorted(key(table), value, side="right")]


def gather(found: Iterable[tuple[np.ndarray, int]], dtype: np.dtype = ENTRY) -> np.ndarray:
    """(hashes of a document, its key), … → a part: sorted by hash, in the documents' order, the first two rows of each.

    dtype: of a row, ENTRY or the hash alone."""
    parts = [np.empty(0, dtype)]
    for hashes, owner in found:
        rows = np.empty(len(hashes), dtype)
        key(rows)[:] = hashes
        if dtype.names:
            rows["owner"] = owner
        parts.append(rows)
    rows = np.concatenate(parts)
    return first_two(rows[np.argsort(key(rows), kind="stable")])


def first_two(entries: np.ndarray) -> np.ndarray:
    """Of sorted hashes, or entries with the same hash, the first two: what a part must tell of them."""
    third = np.zeros(len(entries), bool)
    third[2:] = _same(entries[2:], entries[:-2])
    return entries[~third]


def repeated(entries: np.ndarray) -> np.ndarray:
    """The first entry of each hash that stands more than once; `entries` sorted stably by hash."""
    again = _same(entries[1:], entries[:-1])
    first = np.append(True, ~again)[: len(entries)]
    return entries[first & np.append(again, False)[: len(entries)]]


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether rows agree in all but their owners."""
    if not a.dtype.names:
        return a == b
    return np.logical_and.reduce([a[name] == b[name] for name in a.dtype.names if name != "owner"])


def _edge(number: int, count: int) -> np.uint64:
    return np.uint64((1 << 64) * number // count)
