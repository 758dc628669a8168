"""Soups of markup for hypothesis, and a hunt that lasts as long as it is told

Everyday tests try a few hundred. PACKTRAIN_FUZZ_SECONDS=600 python -m pytest -m slow tests/data/test_fuzz_texts.py
hunts ten minutes in each path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

LONGEST = 60_000  # characters of one soup
SLOWEST = 5.0  # seconds of processor time for one of them: what is quadratic takes minutes


def soup(tokens: list[str], longest: int = LONGEST) -> st.SearchStrategy[str]:
    """Tokens in any order, some of them very often: unclosed, crossed, nested and torn markup."""
    times = st.sampled_from([1, 1, 1, 1, 1, 2, 3, 30, 3000])
    piece = st.tuples(st.one_of(st.sampled_from(tokens), st.text(max_size=6)), times)
    return st.lists(piece, max_size=40).map(lambda pieces: "".join(t * n for t, n in pieces)[:longest])


def torn(sound: bytes) -> st.SearchStrategy[bytes]:
    """`sound` cut short, with bytes changed, doubled or left out."""
    place = st.integers(0, max(len(sound) - 1, 0))
    change = st.tuples(place, st.sampled_from(["cut", "set", "drop", "double"]), st.binary(min_size=1, max_size=8))

    def apply(changes: list[tuple[int, str, bytes]]) -> bytes:
        data = sound
        for at, what, new in changes:
            if what == "cut":
                data = data[:at] if at > len(sound) // 2 else data
            elif what == "set":
                data = data[:at] + new + data[at + len(new) :]
            elif what == "drop":
                data = data[:at] + data[at + len(new) * 16 :]
            else:
                data = data[: at + 64] + data[at:]
        return data

    return st.lists(change, max_size=6).map(apply)


def try_some(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], None], examples: int, shrink: bool = True
) -> None:
    """`check` on so many examples, each within `SLOWEST`; a slow one is better not made smaller for hours."""

    def timed(value: Any) -> None:
        start = time.process_time()
        check(value)
        assert time.process_time() - start < SLOWEST

    quiet = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )  # fmt: skip
    quiet(given(strategy)(timed))()


def hunt(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], seconds: float | None = None) -> int:
    """`try_some` with new seeds until the time is up; how many examples were tried."""
    seconds = float(os.environ.get("PACKTRAIN_FUZZ_SECONDS", "20")) if seconds is None else seconds
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try_some(strategy, check, 200, shrink=False)
        tried += 200
    return tried
