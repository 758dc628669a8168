"""sequences of tokens → rows in which a shared beginning stands once → tokens, positions, mask, what to score

    BOS the cat sat | on      row 0   BOS the cat sat on in BOS …     position 0 1 2 3 4 4 0 …
    BOS the cat sat | in              a token sees itself and those before it in its own sequence, nothing else

Sorted, each sequence shares with the one before it all that it shares with any. So the choices of a question are
computed behind one copy of the question, questions behind one copy of their examples, and little is padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Wanted:
    """tokens: the inputs and the last target; those from `start` on are scored. start ≥ 1."""

    tokens: list[int]
    start: int


@dataclass
class Row:
    """One row as it fills. path: where in the row each token of the latest sequence stands."""

    tokens: list[int]
    positions: list[int]
    spans: list[tuple[list[int], int, int]]  # (what is seen before it, first place, behind the last)
    targets: list[tuple[int, int, int]]  # (place, target token, number of the sequence)
    latest: list[int]
    path: list[int]

    def add(self, number: int, wanted: Wanted, shared: int) -> None:
        inputs = wanted.tokens[:-1]
        first = len(self.tokens)
        self.tokens += inputs[shared:]
        self.positions += range(shared, len(inputs))
        if len(inputs) > shared:
            self.spans.append((self.path[:shared], first, len(self.tokens)))
        self.path = [*self.path[:shared], *range(first, len(self.tokens))]
        self.latest = inputs
        self.targets += [(self.path[i - 1], wanted.tokens[i], number) for i in range(wanted.start, len(wanted.tokens))]


@dataclass(frozen=True)
class Packed:
    """tokens, positions (B, L); mask (B, L, L), True where seen; places (N, 2), targets (N,), numbers (N,)."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    places: Tensor
    targets: Tensor
    numbers: Tensor


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


def rows(sequences: Sequence[Wanted], capacity: int) -> list[Row]:
    """Rows of at most `capacity` tokens (or the longest sequence), in the order of the sorted sequences."""
    capacity = max([capacity, *(len(s.tokens) - 1 for s in sequences)])
    filled: list[Row] = []
    for number in sorted(range(len(sequences)), key=lambda n: (sequences[n].tokens, n)):
        wanted = sequences[number]
        shared = common(filled[-1].latest, wanted.tokens[:-1]) if filled else 0
        if not filled or len(filled[-1].tokens) + len(wanted.tokens) - 1 - shared > capacity:
            filled.append(Row([], [], [], [], [], []))
            shared = 0
        filled[-1].add(number, wanted, shared)
    return filled


def pack(sequences: Sequence[Wanted], budget: int, capacity: int) -> Iterator[Packed]:
    """Batches of rows, each of at most `budget` tokens with its padding (or one row)."""
    waiting: list[Row] = []
    for row in sorted(rows(sequences, capacity), key=lambda row: -len(row.tokens)):
        if waiting and (len(waiting) + 1) * len(waiting[0].tokens) > budget:
            yield stacked(waiting)
            waiting = []
        waiting.append(row)
    if waiting:
        yield stacked(waiting)


def stacked(batch: Sequence[Row]) -> Packed:
    """Rows side by side, filled up to the longest; what fills up sees itself alone."""
    B, L = len(batch), max(len(row.tokens) for row in batch)
    tokens, positions = np.zeros((B, L), dtype=np.int64), np.zeros((B, L), dtype=np.int64)
    mask = np.zeros((B, L, L), dtype=bool)
    mask[:, range(L), range(L)] = True
    for b, row in enumerate(batch):
        tokens[b, : len(row.tokens)], positions[b, : len(row.tokens)] = row.tokens, row.positions
        for before, first, behind in row.spans:
            mask[b, first:behind, before] = True
            mask[b, first:behind, first:behind] = np.tri(behind - first, dtype=bool)
    found = np.array([(b, *target) for b, row in enumerate(batch) for target in row.targets], dtype=np.int64)
    table = torch.from_numpy(found.reshape(-1, 4))
    return Packed(
        torch.from_numpy(tokens), torch.from_numpy(positions), torch.from_numpy(mask),
        table[:, :2], table[:, 2], table[:, 3],
    )  # fmt: skip
