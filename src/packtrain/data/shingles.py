"""text → words → 64-bit hashes of every five words in a row: the set by which books are compared

Words are runs of letters and digits, folded to one case, without accents and compatibility forms, so that quotation
marks, hyphens, line breaks, small capitals and encodings make no difference between two editions.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

import numpy as np
import numpy.typing as npt

WIDTH = 5
ACCENT = re.compile("[\u0300-\u036f]")
WORD = re.compile(r"[^\W_]+")
PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F],
                  dtype=np.uint64)  # fmt: skip
Hashes = npt.NDArray[np.uint64]


def words(text: str) -> list[str]:
    """The words of `text` in one case and form."""
    if not text.isascii():
        text = ACCENT.sub("", unicodedata.normalize("NFKD", text))
    return WORD.findall(text.casefold())


def shingles(text: str) -> Hashes:
    """The sorted distinct hashes of every `WIDTH` words in a row; of all words where there are fewer."""
    return distinct(all_shingles(text))


def distinct(hashes: Hashes) -> Hashes:
    """Sorted, each once."""
    hashes = np.sort(hashes)
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = hashes[1:] != hashes[:-1]
    return hashes[first]


def all_shingles(text: str) -> Hashes:
    """The hashes in the order of the text."""
    found = words(text)
    if not found:
        return np.empty(0, dtype=np.uint64)
    numbers = {word: number for number, word in enumerate(dict.fromkeys(found))}
    order = np.fromiter(map(numbers.__getitem__, found), dtype=np.int64, count=len(found))
    table = np.frombuffer(b"".join(_digest(word) for word in numbers), dtype="<u8").astype(np.uint64)
    codes = table[order]
    count = max(len(codes) - WIDTH + 1, 1)
    total = np.zeros(count, dtype=np.uint64)
    for i in range(min(WIDTH, len(codes))):
        total += codes[i : i + count] * PRIMES[i]
    return mixed(total)


def mixed(values: Hashes) -> Hashes:
    """Spread over all 64 bits (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def containment(a: Hashes, b: Hashes) -> float:
    """|A ∩ B| / min(|A|, |B|): the share of the smaller book's shingles that the other has; 0 where one is empty."""
    smaller = min(len(a), len(b))
    return len(np.intersect1d(a, b, assume_unique=True)) / smaller if smaller else 0.0


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
