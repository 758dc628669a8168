"""what a job tells on stderr while it works: a line, or a bar"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def say(line: str) -> None:
    print(line, file=sys.stderr)


def watched(batches: Iterable[T], total: int, what: str) -> Iterable[T]:
    """The batches, a progress bar over them; off a terminal one line."""
    if not sys.stderr.isatty():
        say(f"{what}: {total} batches")
        return batches
    return tqdm(batches, desc=what, total=total, unit="batch", dynamic_ncols=True, leave=False)
