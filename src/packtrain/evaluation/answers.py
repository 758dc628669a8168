"""what a model wrote → its answer → is it one of those that count?

open questions   the first line, or what of it stands before a comma or a full stop ─ normalised → exact match
word problems    "The answer is 72." → 72                            votes of k texts ─ alike ones together → majority
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation

from packtrain.evaluation.latex_answers import boxed

PUNCTUATION = str.maketrans("", "", string.punctuation)
NUMBER = r"[-−]?\$?\s?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
SAID = re.compile(rf"(?:answer is|####)\s*:?\s*\$?\s*({NUMBER})", re.I)
FINAL = re.compile(r"final answer is:?\s*(.*?)(?:\.?\s*I hope|\.?\s*(?:\n|$))", re.I | re.S)
FULL_STOP = re.compile(r"\.(?=\s|$)")


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous spaces: what exact match compares (paper, appendix A;
    Rajpurkar et al., 2016). An answer of nothing else ("A", "The The") stays: an empty text must not match it."""
    lower = text.lower()
    kept = re.sub(r"\b(a|an|the)\b", " ", lower.translate(PUNCTUATION))
    return " ".join((kept if kept.strip() else lower).split())


def endings(text: str) -> list[str]:
    """The first line, and it up to its first comma, and up to its first full stop: where an answer may end.

    All three are tried, for an answer may hold a comma or a dot itself: "April 6, 1830", "J. K. Rowling".
    """
    line = text.strip().partition("\n")[0]
    return list(dict.fromkeys([line, line.partition(",")[0], FULL_STOP.split(line, maxsplit=1)[0]]))


def exact_match(text: str, answers: Iterable[str]) -> bool:
    """Whether `text` gives one of `answers`."""
    wanted = {normalised(answer) for answer in answers}
    return any(normalised(ending) in wanted for ending in endings(text))


def exact_line(text: str, answers: Iterable[str]) -> bool:
    """The stricter one, which takes all of the first line for the answer, as other programs do."""
    return normalised(endings(text)[0]) in {normalised(answer) for answer in answers}


def final_number(text: str) -> str | None:
    """The number behind "answer is" or "####", else the last one there is; canonical: 1,000.0 → 1000."""
    said = SAID.findall(text) or re.findall(NUMBER, text)
    if not said:
        return None
    try:
        found = Decimal(re.sub(r"[$,\s]", "", said[-1] if not SAID.search(text) else said[0]).replace("−", "-"))
    except InvalidOperation:
        return None
    return f"{found.normalize():f}" if found else "0"


def final_formula(text: str) -> str | None:
    """Behind "final answer is" (Lewkowycz et al., 2022), the inside of its \\boxed{…} where there is one; else of the
    last \\boxed{…} of the text."""
    found = FINAL.search(text)
    said = found[1].strip() if found else None
    return boxed(said or text) or said or None


def majority(votes: Sequence[str | None], alike: Callable[[str, str], bool]) -> str | None:
    """The answer that most votes give, those that are alike counted together, None not at all; of several the first."""
    groups: list[list[str]] = []
    known: dict[str, list[str]] = {}
    for vote in votes:
        if vote is None:
            continue
        group = known.get(vote) or next((found for found in groups if alike(found[0], vote)), None)
        if group is None:
            group = []
            groups.append(group)
        known[vote] = group
        group.append(vote)
    return max(groups, key=len)[0] if groups else None
