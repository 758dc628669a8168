"""figures of several seeds → mean ± half of the 95 % t-interval: t · s / √n"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t for a two-sided interval of 95 %, by degrees of freedom: 1 … 20, then the normal's.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """A mean over `n` values, and half of its 95 % interval: None where there is one value."""

    mean: float
    half: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        n = len(values)
        if n == 0:
            return None
        mean = sum(values) / n
        if n == 1:
            return cls(mean, None, 1)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        return cls(mean, student(n - 1) * deviation / math.sqrt(n), n)

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + (f" ± {self.half:.4f}" if self.half is not None else "")

    def signed(self) -> str:
        """A difference: its sign is always said."""
        mean = round(self.mean, 4) + 0.0  # no minus before a zero
        return ("+" if mean >= 0 else "") + str(Spread(mean, self.half, self.n))


def student(freedom: int) -> float:
    """t of a two-sided interval of 95 %."""
    return T95[freedom - 1] if freedom <= len(T95) else 1.96 + 2.5 / freedom
