"""batches as the loader hands them out → sequences of each domain that were trained on, exact across every resume"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

AHEAD = 16  # steps that a trainer may ask for before it has trained on them: Lightning asks for at most one


class Drawn:
    """`add` what a rank's batch of a step held; `at(step)` counts the steps before `step`, over all ranks.

    `sequences` is a whole step's, over all ranks. A batch handed out and never trained on is not counted.
    """

    def __init__(self, domains: tuple[str, ...], sequences: int) -> None:
        self.domains, self.sequences = domains, sequences
        self.step = 0  # the steps before this one are in `_total` or `_own`
        self._total = np.zeros(len(domains), dtype=np.int64)  # over all ranks
        self._own = np.zeros(len(domains), dtype=np.int64)  # of this rank, not yet in `_total`
        self._summed = 0  # the steps before this one are in `_total`
        self._pending: deque[tuple[int, np.ndarray]] = deque()

    def add(self, step: int, counts: np.ndarray) -> None:
        self._pending.append((step, counts))
        self._fold(step - AHEAD)

    def _fold(self, step: int) -> None:
        while self._pending and self._pending[0][0] < step:
            done, counts = self._pending.popleft()
            self._own += counts
            self.step = done + 1

    def at(self, step: int, over_ranks: Callable[[np.ndarray], np.ndarray] = lambda counts: counts) -> dict[str, int]:
        """Sequences of each domain in the steps before `step`. Ranks that share their data are counted once."""
        self._fold(step)
        own, self._own = self._own, np.zeros_like(self._own)
        total = over_ranks(own)
        expected = (self.step - self._summed) * self.sequences
        if expected and total.sum() != expected:  # tensor-parallel ranks draw the same sequences
            total = total * expected // total.sum()
        self._total += total
        self._summed = self.step
        return dict(zip(self.domains, self._total.tolist(), strict=True))

    def restore(self, step: int, counts: Mapping[str, int]) -> None:
        """Go on from a checkpoint of `step`."""
        self.step = self._summed = step
        self._total = np.array([counts.get(name, 0) for name in self.domains], dtype=np.int64)
        self._own[:] = 0
        self._pending.clear()
