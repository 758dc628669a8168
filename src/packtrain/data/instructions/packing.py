"""lengths of examples → rows of at most T tokens, each example whole in one of them

Best fit in the order of falling length: each example goes into the fullest row that still takes it, so that little is
padding. What stands together in a row stays together in every epoch; the rows come in another order in each.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """The numbers of the examples in each row. Every length must be 1 … `capacity`."""
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (room left, row), sorted
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        length = lengths[number]
        at = bisect_left(open_rows, (length, -1))
        if at == len(open_rows):
            room, row = capacity, len(rows)
            rows.append([])
        else:
            room, row = open_rows.pop(at)
        rows[row].append(number)
        if room > length:
            insort(open_rows, (room - length, row))
    return rows
