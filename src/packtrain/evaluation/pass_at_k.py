"""c of n programs pass → pass@k = 1 − C(n−c, k) / C(n, k): the chance that of k drawn without return one passes

Unbiased, unlike 1 − (1 − c/n)^k (Chen et al., 2021, arXiv 2107.03374, section 2.1).
"""

from __future__ import annotations

import math

from packtrain.errors import UserError


def pass_at_k(n: int, c: int, k: int) -> float:
    """Exact in whole numbers, rounded once. Raises `UserError` where fewer than k were drawn."""
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n}")
    if not 1 <= k <= n:
        raise UserError(f"pass@{k} of {n} programs an item: draw at least {k} (n={k}), or ask for a smaller k")
    return 1 - math.comb(n - c, k) / math.comb(n, k)
