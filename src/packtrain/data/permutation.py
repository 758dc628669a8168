"""(seed, n) → a bijection of 0 … n-1 that needs no table: a Feistel network with cycle walking

Trillions of tokens are billions of blocks: a shuffled index of them would not fit. Here position → block is computed.
All arithmetic is on unsigned 64-bit integers modulo 2^64, so the order is the same on every machine and NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Round = Callable[[UInt64s, UInt64s, Callable[[UInt64s], UInt64s]], tuple[UInt64s, UInt64s]]
ROUNDS = 6  # four make a Feistel network a strong pseudo-random permutation; two more for the weak round function


def mix(values: UInt64s) -> UInt64s:
    """splitmix64's finaliser (Steele, Lea and Flood, 2014): every input bit reaches every output bit."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key_of(*parts: int | str) -> int:
    """A 64-bit key from a tuple of numbers and names; the same on every machine (Python's `hash` is not)."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def uniform(key: int, indices: UInt64s) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), a pure function of (key, index)."""
    return (mix(mix(indices) ^ np.uint64(key)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permute(positions: npt.ArrayLike, n: int, key: int) -> npt.NDArray[np.int64]:
    """positions (N,) in [0, n) → their images (N,) under the permutation of [0, n) that `key` chooses.

    Half the bits of a number are mixed into the other half, six times; a result of n or more is sent through again
    until it falls below n (fewer than four times on average, because 2^bits < 4 n).
    """
    return _walk(positions, n, key, lambda left, right, mixed: (right, left ^ mixed(right)), backwards=False)


def invert(images: npt.ArrayLike, n: int, key: int) -> npt.NDArray[np.int64]:
    """images (N,) in [0, n) → the positions (N,) that `permute` sends there: the rounds backwards."""
    return _walk(images, n, key, lambda left, right, mixed: (right ^ mixed(left), left), backwards=True)


def _walk(numbers: npt.ArrayLike, n: int, key: int, step: Round, backwards: bool) -> npt.NDArray[np.int64]:
    """`step`: (left half, right half, the round's function) → both after a round."""
    x = np.asarray(numbers, dtype=np.uint64).copy()
    if n < 1 or (x.size and int(x.max()) >= n):
        raise ValueError(f"numbers must lie in [0, {n})")
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = [np.uint64(key_of(key, r)) for r in range(ROUNDS)]
    functions = [lambda part, own=own: mix(part ^ own) & mask for own in keys]
    outside = np.ones(x.shape, dtype=bool)
    while outside.any():
        left, right = x[outside] >> half, x[outside] & mask
        for function in reversed(functions) if backwards else functions:
            left, right = step(left, right, function)
        x[outside] = (left << half) | right
        outside = x >= np.uint64(n)
    return x.astype(np.int64)
