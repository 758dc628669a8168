"""texts → words → every n in a row → 64-bit hashes: what a document and an evaluation set have in common

As GPT-3's authors compared (Brown et al., 2020, appendix C): words in lower case without punctuation, 13 in a row.
White space, case and punctuation do not matter, neither do Unicode's compatibility forms. They passed over grams that
more than ten documents hold; here every gram counts.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from packtrain.errors import UserError

WORD = re.compile(r"[^\W_]+")
KINDS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")
NOT_TEXTS = ("SOURCE.md", "README.md", "LICENSE")
FACTOR = np.uint64(0x9E3779B97F4A7C15)
CACHED_WORDS = 1 << 20


@dataclass
class Hasher:
    """Hashes of `n` words in a row."""

    n: int = 13
    _known: dict[str, int] = field(default_factory=dict)

    def words(self, text: str) -> list[str]:
        plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
        return WORD.findall(plain.casefold())

    def grams(self, words: list[str]) -> np.ndarray:
        """One (uint64) for each word that n − 1 others follow."""
        hashes = np.fromiter((self._hash(word) for word in words), np.uint64, len(words))
        count = max(0, len(words) - self.n + 1)
        found = np.zeros(count, np.uint64)
        for i in range(self.n if count else 0):
            found = (found ^ (found >> np.uint64(29))) * FACTOR + hashes[i : i + count]
        return found

    def _hash(self, word: str) -> int:
        if (known := self._known.get(word)) is None:
            if len(self._known) > CACHED_WORDS:
                self._known.clear()
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known = self._known[word] = int.from_bytes(digest, "little")
        return known


@dataclass(frozen=True)
class EvaluationGrams:
    """`grams`: sorted, each once; `owners`: of each the number of the file in `files` that has it first."""

    grams: np.ndarray
    owners: np.ndarray
    files: tuple[str, ...]
    texts: int
    short: int  # texts of fewer than n words: nothing can be found of them

    def found(self, grams: np.ndarray) -> np.ndarray:
        """Places in `grams` of the evaluation's."""
        if not len(self.grams):
            return np.empty(0, np.int64)
        place = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
        return np.flatnonzero(self.grams[place] == grams)

    def file_of(self, gram: np.uint64) -> str:
        return self.files[int(self.owners[np.searchsorted(self.grams, gram)])]


def evaluation_files(paths: tuple[str, ...]) -> list[tuple[Path, str]]:
    """(file, name) of the evaluation sets at or below `paths`. Raises `UserError` where there are none."""
    found: list[tuple[Path, str]] = []
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise UserError(f"evaluations={given}: no such file or directory")
        here = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        below = path if path.is_dir() else path.parent
        names = [(p, p.relative_to(below).as_posix()) for p in here if p.name not in NOT_TEXTS]
        fitting = [(p, name) for p, name in names if name.removesuffix(".gz").endswith(KINDS)]
        if not fitting:
            raise UserError(f"evaluations={given}: no evaluation sets here; expected {', '.join(KINDS)} (also .gz)")
        found += fitting
    return found


def read_evaluations(paths: tuple[str, ...], hasher: Hasher) -> EvaluationGrams:
    """All grams of all texts. Raises `UserError` naming a file that cannot be read."""
    files = evaluation_files(paths)
    grams, owners, texts, short = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], 0, 0
    for number, (path, name) in enumerate(files):
        try:
            for text in texts_of(path):
                here = hasher.grams(hasher.words(text))
                texts, short = texts + 1, short + (not len(here))
                grams.append(here)
                owners.append(np.full(len(here), number, np.int32))
        except (ValueError, OSError, EOFError, RecursionError, zlib.error, csv.Error) as error:
            raise UserError(f"evaluations: {name} cannot be read ({error}); mend it or leave it out") from None
    values, first = np.unique(np.concatenate(grams), return_index=True)
    return EvaluationGrams(values, np.concatenate(owners)[first], tuple(name for _, name in files), texts, short)


def texts_of(path: Path) -> Iterator[str]:
    """Every text in a file, each field by itself."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        import pyarrow.parquet as parquet  # of the extra `data`

        for batch in parquet.ParquetFile(path).iter_batches():
            yield from _leaves(batch.to_pylist())
        return
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")  # type: ignore[arg-type]
        if name.endswith(".jsonl"):
            for line in file:
                if line.strip():
                    yield from _leaves(json.loads(line))
        elif name.endswith(".json"):
            yield from (leaf for value in _values(file.read()) for leaf in _leaves(value))
        elif name.endswith((".csv", ".tsv")):
            for row in csv.reader(file, delimiter="\t" if name.endswith(".tsv") else ","):
                yield from row
        else:
            yield file.read()


def _values(text: str) -> Iterator[Any]:
    """One JSON value, or one after the other: many a .json holds a value a line."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
