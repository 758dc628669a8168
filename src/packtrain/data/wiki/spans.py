"""text with nested brackets → its outermost closed spans, in one pass and linear time; and what becomes of them"""

from __future__ import annotations

import re
from collections.abc import Callable


def closed_spans(text: str, pattern: re.Pattern[str], single: str | None = None) -> list[tuple[int, int]]:
    """(start, end) of the outermost spans that an opening (group 1 of `pattern`) and a closing bound.

    An opening that nothing closes hides no closed span behind it. A match of group 1 that ends with `single` is a span
    by itself (`<ref …/>`).
    """
    stack: list[int] = []
    spans: list[tuple[int, int]] = []
    for match in pattern.finditer(text):
        if match.lastindex == 1:
            if single is None or not match[0].endswith(single):
                stack.append(match.start())
                continue
            start = match.start()
        elif stack:
            start = stack.pop()
        else:
            continue
        while spans and spans[-1][0] > start:
            spans.pop()
        spans.append((start, match.end()))
    return spans


def replace_spans(text: str, spans: list[tuple[int, int]], new: Callable[[str], str] | None = None) -> str:
    """`text` with each span as `new` says of it, or without it."""
    if not spans:
        return text
    pieces: list[str] = []
    place = 0
    for start, end in spans:
        pieces.append(text[place:start])
        if new:
            pieces.append(new(text[start:end]))
        place = end
    pieces.append(text[place:])
    return "".join(pieces)
