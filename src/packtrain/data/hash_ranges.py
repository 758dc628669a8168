"""sorted parts (.npy) ─range of hashes by range→ decide → one .npy, in bounded memory whatever their size

The hashes of a merge go through memory `AT_ONCE` at a time: all parts' entries between two bounds are put together in
the order of the parts, sorted stably, and handed to `decide`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

AT_ONCE = 1 << 24  # entries in memory at a time


def merge(
    parts: list[Path],
    output: Path,
    decide: Callable[[np.ndarray], np.ndarray],
    dtype: np.dtype,
    decided: np.dtype | None = None,
) -> None:
    """parts: 1-D arrays of `dtype`, sorted by hash: the number itself, or the field "hash". `decide`: sorted entries of
    a range → an array of `decided` (default: `dtype`); those of all ranges stand behind one another in `output`."""
    arrays = [np.load(part, mmap_mode="r") for part in parts]
    total = sum(len(array) for array in arrays)
    ranges = -(-total // AT_ONCE) or 1
    edges = np.array([(2**64 // ranges) * i for i in range(1, ranges)], np.uint64)
    places = [np.concatenate([[0], np.searchsorted(key(a), edges), [len(a)]]).astype(int) for a in arrays]
    found: list[Path] = []
    for i in range(ranges):
        here = np.concatenate([np.empty(0, dtype), *(a[p[i] : p[i + 1]] for a, p in zip(arrays, places, strict=True))])
        found.append(output.with_suffix(f".{i}.npy"))
        np.save(found[-1], decide(here[np.argsort(key(here), kind="stable")]))
    _join(found, output, decided or dtype)


def key(array: np.ndarray) -> np.ndarray:
    """The hashes of an array of hashes, or of entries with a field "hash"."""
    return array["hash"] if array.dtype.names else array


def contains(sorted_hashes: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which of `hashes` are there, at which place). `sorted_hashes` may be a memory map."""
    place = np.searchsorted(sorted_hashes, hashes)
    inside = place < len(sorted_hashes)
    there = np.zeros(len(hashes), bool)
    there[inside] = sorted_hashes[place[inside]] == hashes[inside]
    return there, place


def _join(parts: list[Path], output: Path, dtype: np.dtype) -> None:
    arrays = [np.load(part, mmap_mode="r") for part in parts]
    whole = np.lib.format.open_memmap(output, "w+", dtype, (sum(len(a) for a in arrays),))
    at = 0
    for array in arrays:
        whole[at : at + len(array)] = array
        at += len(array)
    whole.flush()
    for part in parts:
        part.unlink()
