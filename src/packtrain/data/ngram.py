"""ARPA file → sorted hashes per order (.npy, memory-mapped) → log10 probability of any text: an n-gram model in numpy

    found n-gram:      log p(w | context) = its own
    not found:         log p = backoff(context) + log p(w | shorter context)

No compiler is needed and no model is copied per process: the operating system shares the maps. The numbers are
KenLM's (tests/data/test_quality.py); a model of its makes, trained by its `lmplz`, comes in as ARPA.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from packtrain.errors import UserError

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
MODEL = "model.json"
FORMAT = 1
# Odd constants that spread a word's hash by its distance from the end of the n-gram.
SPREAD = [1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5, 0xD6E8FEB86659FD93,
          0xA0761D6478BD642F, 0xE7037ED1A0B428DB]  # fmt: skip


def word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")


class NGramModel:
    """A folder made by `convert`. `tokens_log10(sentences)` scores; unknown words get <unk>'s probability."""

    def __init__(self, folder: Path) -> None:
        try:
            self.about: dict[str, Any] = json.loads((folder / MODEL).read_text(encoding="utf-8"))
            self.order = int(self.about["order"])
            if self.about["format"] != FORMAT:
                raise ValueError(f"format {self.about['format']}")
            load = lambda name: np.load(folder / name, mmap_mode="r", allow_pickle=False)  # noqa: E731
            self._keys = [load(f"hashes-{n}.npy") for n in range(1, self.order + 1)]
            self._values = [load(f"values-{n}.npy") for n in range(1, self.order + 1)]  # (log10 p, log10 backoff)
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "make one with: packtrain quality train=lm"
            raise UserError(f"{folder}: no language model ({error}); {remedy}") from None
        self._words: dict[str, int] = {}

    @cached_property
    def _unknown(self) -> np.float32:
        values, there = self._look(1, np.array([word_hash(UNKNOWN)], np.uint64))
        return values[0, 0] if there[0] else np.float32(-100.0)

    def tokens_log10(self, sentences: Sequence[Sequence[str]]) -> tuple[float, int]:
        """(log10 probability of all, number of tokens scored: each sentence's and its end)."""
        words, places = self._hashes(sentences)
        if not len(words):
            return 0.0, 0
        values, there = self._look(1, words)
        score = np.where(there, values[:, 0], self._unknown).astype(np.float64)
        backoff = np.where(there, values[:, 1], 0.0)
        key = words.copy()
        for n in range(2, self.order + 1):
            key[n - 1 :] += words[: max(len(words) - n + 1, 0)] * np.uint64(SPREAD[n - 1])
            candidates = np.flatnonzero(there & (places >= n - 1))  # where the shorter one is not there, nor is this
            values, found = self._look(n, key[candidates])
            longer = np.zeros(len(words), bool)
            longer[candidates[found]] = True
            score[1:] += np.where(longer[1:] | (places[1:] < n - 1), 0.0, backoff[:-1])
            score[candidates[found]] = values[found, 0]
            backoff = np.zeros(len(words))
            backoff[candidates[found]] = values[found, 1]
            there = longer
        scored = places > 0
        return float(score[scored].sum()), int(scored.sum())

    def perplexity(self, sentences: Sequence[Sequence[str]]) -> float:
        """10 to the mean negative log10 probability of a token; infinite for a text without one."""
        total, count = self.tokens_log10(sentences)
        return 10.0 ** min(-total / count, 300.0) if count else float("inf")

    def _hashes(self, sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """The hash of every token with <s> and </s> around each sentence, and its place in its sentence."""
        known, flat, places = self._words, [], []
        for sentence in sentences:
            if not sentence:
                continue
            for word in (BEGIN, *sentence, END):
                value = known.get(word)
                if value is None:
                    if len(known) > 1_000_000:
                        known.clear()
                    value = known[word] = word_hash(word)
                flat.append(value)
            places.append(np.arange(len(sentence) + 2))
        return np.array(flat, np.uint64), np.concatenate(places) if places else np.empty(0, int)

    def _look(self, n: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hashes, values = self._keys[n - 1], self._values[n - 1]
        if not len(hashes) or not len(keys):
            return np.zeros((len(keys), 2), np.float32), np.zeros(len(keys), bool)
        place = np.minimum(np.searchsorted(hashes, keys), len(hashes) - 1)
        return values[place], hashes[place] == keys


def convert(arpa: Path, folder: Path, about: dict[str, Any]) -> None:
    """Writes the model of an ARPA file into `folder`. Raises `UserError` with the line where it is none."""
    known: dict[str, int] = {}
    with arpa.open(encoding="utf-8", errors="replace", newline="\n") as file:
        try:
            counts = _counts(file)
            for n, count in enumerate(counts, 1):
                keys, values = np.empty(count, np.uint64), np.zeros((count, 2), np.float32)
                mask = (1 << 64) - 1
                for i, (probability, words, backoff) in enumerate(_section(file, n, count)):
                    key = 0
                    for distance, word in enumerate(reversed(words)):
                        value = known.get(word)
                        if value is None:
                            value = known[word] = word_hash(word)
                        key += value * SPREAD[distance]
                    keys[i], values[i] = key & mask, (probability, backoff)
                order = np.argsort(keys, kind="stable")
                np.save(folder / f"hashes-{n}.npy", keys[order])
                np.save(folder / f"values-{n}.npy", values[order])
        except (ValueError, IndexError) as error:
            raise UserError(f"{arpa}: no ARPA file ({error}); lmplz writes one") from None
    values = {"format": FORMAT, "order": len(counts), "counts": counts, **about}
    (folder / MODEL).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _counts(file: TextIO) -> list[int]:
    """The head: `\\data\\`, then `ngram 1=120` for each order."""
    if next((line.strip() for line in file if line.strip() and not line.startswith("#")), "") != "\\data\\":
        raise ValueError("it does not begin with \\data\\")
    counts: list[int] = []
    for line in file:
        if not line.strip():
            break
        counts.append(int(line.partition("=")[2]))
    if not 1 <= len(counts) <= len(SPREAD):
        raise ValueError(f"{len(counts)} orders")
    return counts


def _section(file: TextIO, n: int, count: int) -> Iterator[tuple[float, list[str], float]]:
    for line in file:
        if line.strip() == f"\\{n}-grams:":
            break
    for _ in range(count):
        fields = next(file, "").rstrip("\n").split("\t")
        words = fields[1].split(" ")
        if len(words) != n:
            raise ValueError(f"{n} words expected in {fields[1][:60]!r}")
        yield float(fields[0]), words, float(fields[2]) if len(fields) > 2 else 0.0
