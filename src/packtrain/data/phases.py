"""sample number g ─which phase?→ that phase's mixture, at g − its first → (domain, epoch, block)

    g = 0 … 9 999          weights of the run
    g = 10 000 …           weights of the first change, and so on

A pure function as `mixture.py` is. Each domain goes on where the phase before left it, so that no text is repeated
before all of its domain was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from packtrain.data.mixture import Ints, Mixture


class Phases(Mixture):
    """Mixtures one after the other: `weights` from sample 0 on, then those of each (first sample, weights).

    `domains` are all that any phase draws from, in the order in which they first appear; `quotas` are the first
    phase's (0 for a domain that comes later), so that what is averaged by them is the same curve all the way.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        changes: Sequence[tuple[int, Mapping[str, float]]],
        blocks: Mapping[str, int],
        seed: int,
        unique: Mapping[str, int] | None = None,
    ) -> None:
        first = Mixture(weights, blocks, seed, unique=unique)
        self.starts, self.parts = [0], [first]
        for start, changed in changes:
            assert start > self.starts[-1], (start, self.starts)
            drawn = self.counts(start)
            self.parts.append(Mixture(changed, blocks, seed, drawn, unique))
            self.starts.append(start)
        names = dict.fromkeys(domain for part in self.parts for domain in part.domains)
        self.domains, self.seed = tuple(names), seed
        self.quotas = {domain: first.quotas.get(domain, 0) for domain in self.domains}
        self.whole = {domain: int(blocks[domain]) for domain in self.domains}
        self.blocks = {domain: next(p.blocks[domain] for p in self.parts if domain in p.domains) for domain in names}
        self._indices = [np.array([self.domains.index(name) for name in part.domains]) for part in self.parts]

    def samples(self, g: npt.ArrayLike) -> tuple[Ints, Ints, Ints]:
        """g (N,) → domain indices (N,), epochs (N,), blocks (N,)."""
        numbers = np.asarray(g, dtype=np.int64)
        found = np.empty_like(numbers), np.empty_like(numbers), np.empty_like(numbers)
        phases = np.searchsorted(self.starts, numbers, side="right") - 1
        for phase in np.unique(phases):
            here = phases == phase
            domains, epochs, blocks = self.parts[phase].samples(numbers[here] - self.starts[phase])
            for whole, part in zip(found, (self._indices[phase][domains], epochs, blocks), strict=True):
                whole[here] = part
        return found

    def counts(self, n_samples: int) -> dict[str, int]:
        """How many of the first n samples come from each domain; exact."""
        found: dict[str, int] = {}
        ends = [*self.starts[1:], n_samples]
        for start, end, part in zip(self.starts, ends, self.parts, strict=True):
            for domain, count in part.counts(max(0, min(end, n_samples) - start)).items():
                found[domain] = found.get(domain, 0) + count
        return found
