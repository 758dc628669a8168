"""sample numbers → domain, epoch, block → the documents that a sequence was cut from, and their text"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from packtrain.data.mixture import Mixture
from packtrain.data.shards import Shards
from packtrain.errors import UserError


@dataclass(frozen=True)
class Document:
    """`number` counts the training documents of a domain from 0 in the order of the pack; the sequence holds `tokens`
    of its `length`, from its `begins`-th on."""

    number: int
    length: int
    begins: int
    tokens: int


@dataclass(frozen=True)
class Origin:
    """Where sample `sample` comes from."""

    sample: int
    domain: str
    epoch: int
    block: int
    documents: tuple[Document, ...]


class Provenance:
    """The sequences of `length` tokens that `mixture` draws from the pack."""

    def __init__(self, pack: str | Path, mixture: Mixture, length: int) -> None:
        self.pack, self.mixture, self.length = Path(pack), mixture, length
        self._shards: dict[str, Shards] = {}
        self._before: dict[str, dict[str, int]] = {}  # domain → chunk → documents in the chunks before it

    def shards(self, domain: str) -> Shards:
        if domain not in self._shards:
            self._shards[domain] = Shards(self.pack, domain, "train")
        return self._shards[domain]

    def _between(self, domain: str, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(number in the domain, first token, end) of every document with a token in [start, stop)."""
        shards = self.shards(domain)
        if domain not in self._before:
            names, items = zip(*((name, documents) for name, documents, _ in shards.chunks()), strict=True)
            self._before[domain] = dict(zip(names, accumulate(items, initial=0), strict=False))
        for chunk, number, first, end in shards.documents_at(start, stop - start):
            yield self._before[domain][chunk] + number, first, end

    def of(self, samples: Iterable[int]) -> list[Origin]:
        """In the order asked for."""
        numbers = np.fromiter(samples, dtype=np.int64)
        found = []
        for g, domain, epoch, block in zip(numbers, *self.mixture.samples(numbers), strict=True):
            name = self.mixture.domains[int(domain)]
            start = int(block) * self.length
            stop = start + self.length + 1
            documents = [
                Document(number, last - first, max(0, start - first), min(last, stop) - max(first, start))
                for number, first, last in self._between(name, start, stop)
            ]
            found.append(Origin(int(g), name, int(epoch), int(block), tuple(documents)))
        return found

    def tokens(self, origin: Origin) -> np.ndarray:
        """The sequence (T + 1,) int64; plain ids also where a pack has ~id for what is only read."""
        out = np.empty(self.length + 1, dtype=np.int64)
        self.shards(origin.domain).read(origin.block * self.length, out)
        return np.where(out < 0, ~out, out)


def reader(tokenizer: str | Path) -> Callable[[Any], str]:
    """Token ids → text; where the file is no tokenizer, the ids themselves."""
    from packtrain.tokenizer.tokenizer import Tokenizer

    try:
        decoder = Tokenizer(tokenizer)
    except UserError:
        return lambda ids: " ".join(map(str, ids))
    return lambda ids: decoder.decode(int(i) for i in ids)
