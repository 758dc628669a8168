"""document ─lines, normalised, in pieces→ 5-gram model → perplexity → percentiles of the run → head, middle, tail

CCNet (Wenzek et al., 2019, section 3.3): pages near to Wikipedia in wording are the better ones. `Perplexity` scores
each document; `Percentiles` needs all of them, or takes the cut-offs of another run.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np

from packtrain.data.documents import Document
from packtrain.data.hash_ranges import ALL, Decision, Shard
from packtrain.data.ngram import NGramModel
from packtrain.data.step import Tally
from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import Tokenizer

KEY = "perplexity"
TOKENIZER = "tokenizer.model"
WORDS = re.compile(r"\w+|[^\w\s]")
DIGITS = re.compile(r"\d")
BUCKETS = ("head", "middle", "tail")
BINS = (
    1 << 20
)  # the upper bits of a positive float32, which sort as it does; 2 048 bins from one power of two to the next


def token_lines(text: str, tokenizer: Tokenizer | None) -> list[list[str]]:
    """What the model sees: lower case, no accents, 0 for digits; pieces by number, or words and marks."""
    text = text.lower()
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    lines = [line for line in DIGITS.sub("0", text).split("\n") if line.strip()]
    if tokenizer is None:
        return [WORDS.findall(line) for line in lines]
    return [[str(i) for i in tokenizer.encode(line.strip())] for line in lines]


@dataclass(frozen=True)
class Perplexity:
    """Writes metadata.perplexity. model: a folder made by `packtrain quality train=lm`."""

    model: str
    name: ClassVar[str] = "perplexity"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        model, tokenizer = NGramModel(Path(self.model)), None
        if (path := Path(self.model) / TOKENIZER).exists():
            tokenizer = Tokenizer(path)
        for document in documents:
            value = model.perplexity(token_lines(document.text, tokenizer))
            if math.isinf(value):
                tally.drop(document, "no words")
            else:
                yield tally.change(document, replace(document, metadata={**document.metadata, KEY: round(value, 2)}))


@dataclass(frozen=True)
class Percentiles:
    """Keeps some of three buckets by perplexity; the bucket is written as metadata.bucket.

    keep         of head, middle, tail
    percentiles  up to which of the documents are head, and middle (CCNet cut in thirds)
    cutoffs      perplexities to use instead; null: they are found in this run
    """

    keep: tuple[str, ...] = ("head", "middle")
    percentiles: tuple[float, ...] = (33.3, 66.7)
    cutoffs: tuple[float, ...] | None = None
    name: ClassVar[str] = "percentiles"

    def __post_init__(self) -> None:
        if not self.keep or set(self.keep) - set(BUCKETS):
            raise UserError(f"quality.percentiles.keep={list(self.keep)}: expected some of {', '.join(BUCKETS)}")
        for key, values in (("percentiles", self.percentiles), ("cutoffs", self.cutoffs)):
            if values is not None and (len(values) != 2 or not 0 <= values[0] <= values[1]):
                raise UserError(f"quality.percentiles.{key}={list(values)}: expected two numbers, the lower one first")
        if self.percentiles[1] > 100:
            raise UserError(f"quality.percentiles.percentiles={list(self.percentiles)}: expected at most 100")

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        return np.array([float(d.metadata[KEY]) for d in documents], np.float32)

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        """A histogram whose bins are 0.05 % wide: its memory is the same for any number. A shard counts some parts."""
        counts = np.zeros(BINS, np.int64)
        for part in islice(parts, shard.number, None, shard.count):
            values = np.load(part, mmap_mode="r")
            shard.tick(1)
            for at in range(0, len(values), 1 << 22):
                counts += np.bincount(_bin(np.asarray(values[at : at + (1 << 22)])), minlength=BINS)
        np.save(output, counts)

    def gather(self, tables: Sequence[Path], output: Path, tick: Callable[[int], None]) -> None:
        """The two cut-offs."""
        if self.cutoffs is not None:
            np.save(output, np.array(self.cutoffs, np.float32))
            return
        total = np.cumsum(sum(np.load(table) for table in tables))
        wanted = [p / 100 * total[-1] for p in self.percentiles]
        bins = np.array([int(np.searchsorted(total, w)) for w in wanted], np.uint32)
        upper = np.minimum(bins + 1, BINS - 1).astype(np.uint32) << np.uint32(11)  # the end of the bin
        np.save(output, upper.view(np.float32))

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        head, middle = (float(x) for x in decision.table())
        for document in documents:
            value = float(np.float32(document.metadata[KEY]))
            bucket = BUCKETS[0] if value < head else BUCKETS[1] if value < middle else BUCKETS[2]
            found = replace(document, metadata={**document.metadata, "bucket": bucket})
            if bucket in self.keep:
                yield tally.change(document, found)
            else:
                tally.drop(found, f"{bucket} of perplexity")


def _bin(values: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> np.uint32(11)).astype(np.int64)
