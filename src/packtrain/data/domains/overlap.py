"""held-out texts, training texts → which characters of the held-out texts also stand in a training text

A held-out text overlaps where 50 characters in a row are found in any training text, as written or with every run of
white space as one space (a docstring is indented in its source). Windows are compared by a rolling hash modulo 2^64
over all texts at once, and every hit is verified character by character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

WINDOW = 50
BASE = 0x9E3779B97F4A7C15  # odd, so multiplication loses nothing modulo 2^64
FILTER_BITS = 24
Codes = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]


class TrainingText:
    """The training texts, hashed once; `overlaps` may then be asked again and again. About 40 bytes a character."""

    def __init__(self, texts: Sequence[str], window: int = WINDOW) -> None:
        self.window = window
        written = _codes("\0".join(texts))
        self._forms = [(codes, _hashes(codes, window)) for codes in (written, _collapse(written)[0])]

    def overlaps(self, texts: Sequence[str]) -> list[Mask]:
        """For each text a mask (characters,): True where a window over that character stands in a training text."""
        joined = "\0".join(texts)
        codes = _codes(joined)
        mask = np.zeros(len(codes), dtype=bool)
        collapsed, positions = _collapse(codes)
        every = np.arange(len(codes))
        for held, where, (train, hashes) in zip((codes, collapsed), (every, positions), self._forms, strict=True):
            for start in _found(held, train, hashes, self.window):
                mask[where[start] : where[start + self.window - 1] + 1] = True
        return list(_split(mask, [len(text) for text in texts]))


def _split(mask: Mask, lengths: Sequence[int]) -> Iterator[Mask]:
    start = 0
    for length in lengths:
        yield mask[start : start + length]
        start += length + 1  # the separator


def _found(held: Codes, train: Codes, train_hashes: npt.NDArray[np.uint64], window: int) -> npt.NDArray[np.int64]:
    """Starts of the windows of `held` that also stand in `train`."""
    held_hashes = _hashes(held, window)
    if not len(held_hashes) or not len(train_hashes):
        return np.empty(0, dtype=np.int64)
    maybe = np.zeros(1 << FILTER_BITS, dtype=bool)  # one bit per hash prefix: most training windows stop here
    shift = np.uint64(64 - FILTER_BITS)
    maybe[held_hashes >> shift] = True
    near = np.flatnonzero(maybe[train_hashes >> shift])
    known, first = np.unique(train_hashes[near], return_index=True)
    if not len(known):
        return np.empty(0, dtype=np.int64)
    slot = np.minimum(np.searchsorted(known, held_hashes), len(known) - 1)
    starts = np.flatnonzero(known[slot] == held_hashes)
    at = near[first[slot[starts]]]
    steps = np.arange(window)
    same = (held[starts[:, None] + steps] == train[at[:, None] + steps]).all(axis=1)
    inside = (held[starts[:, None] + steps] != 0).all(axis=1)  # not across the separator of two texts
    return starts[same & inside]


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _collapse(codes: Codes) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Each run of white space as one space, and the place of every remaining character in `codes`."""
    values = np.unique(codes)
    spaces = np.array([v for v in values if chr(v).isspace()], dtype=np.uint32)
    space = np.isin(codes, spaces)
    keep = ~space
    keep[:1] = True
    keep[1:] |= space[1:] & ~space[:-1]
    positions = np.flatnonzero(keep)
    return np.where(space[positions], np.uint32(32), codes[positions]), positions


def _hashes(codes: Codes, window: int) -> npt.NDArray[np.uint64]:
    """(characters - window + 1,) polynomial hashes modulo 2^64 of all windows, by doubling: log2(window) passes."""
    if len(codes) < window:
        return np.empty(0, dtype=np.uint64)
    total = np.zeros(len(codes), dtype=np.uint64)  # hash of the first `done` characters from each start
    power, size, done = codes.astype(np.uint64) + np.uint64(1), 1, 0
    factor = BASE  # BASE ** size modulo 2^64, a Python integer: NumPy warns of scalars that wrap
    rest = window
    while rest:
        if rest & 1:
            total = total[: len(codes) - done - size + 1] * np.uint64(factor) + power[done : len(codes) - size + 1]
            done += size
        rest >>= 1
        if rest:
            power = power[:-size] * np.uint64(factor) + power[size:]
            size, factor = size * 2, factor * factor % 2**64
    return _spread(total)


def _spread(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    hashes ^= hashes >> np.uint64(32)
    return hashes * np.uint64(BASE)
