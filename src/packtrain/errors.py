"""a mistake of the user → UserError → one line, exit 2;  a failure of the machine → Failure → one line, exit 1"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: the message is one line and says how. The program exits with 2."""


class Failure(Exception):
    """Something that broke on the way (a full disk, a truncated shard, a NaN loss). Exit code 1."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `word`, or None where none is near."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'? known: a, b, x` — the tail that every unknown-name error carries."""
    known = sorted(choices)
    near = nearest(word, known)
    hint = f"; did you mean '{near}'?" if near else ""
    return f"{hint} known: {', '.join(known)}" if hint else f"; known: {', '.join(known)}"
