"""blocks of a domain → the sample numbers at which a mixture draws them: the mixture read backwards

    block ─Feistel backwards, in each epoch→ position → count ─÷ quota→ window, rank ─order of the window→ sample g

Nothing is searched: a run of 680 million samples is asked as fast as one of a hundred.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from packtrain.data.mixture import WINDOW, Mixture
from packtrain.data.phases import Phases


def samples_of(mixture: Mixture, domain: str, blocks: npt.ArrayLike, until: int) -> list[int]:
    """The numbers below `until` of the samples that are one of these blocks, in order."""
    starts, parts = (mixture.starts, mixture.parts) if isinstance(mixture, Phases) else ([0], [mixture])
    ends = [*starts[1:], until]
    found: list[int] = []
    for start, end, part in zip(starts, ends, parts, strict=True):
        found += [start + g for g in _of_one(part, domain, blocks, min(end, until) - start)]
    return sorted(found)


def _of_one(mixture: Mixture, domain: str, blocks: npt.ArrayLike, until: int) -> list[int]:
    if until <= 0 or domain not in mixture.domains:
        return []
    first, quota, size = mixture.drawn[domain], mixture.quotas[domain], mixture.blocks[domain]
    drawn = mixture.counts(until)[domain]
    index, found = mixture.domains.index(domain), []
    for epoch in range(first // size, -(-(first + drawn) // size)):
        counts = epoch * size + mixture.positions_of(domain, epoch, blocks) - first
        for count in counts[(counts >= 0) & (counts < drawn)].tolist():
            window, rank = divmod(count, quota)
            found.append(window * WINDOW + int(np.flatnonzero(mixture.order(window)[0] == index)[rank]))
    return found
