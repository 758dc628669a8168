"""template + row → text: `Question: {question}\\nAnswer: {choices.0|strip}`

A name, a path of names and numbers into nested values, then filters. Nothing is called or evaluated: a template cannot
do more than show a row. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from packtrain.errors import UserError, did_you_mean

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
BLANK = "_"  # where a word is missing in a sentence of WinoGrande


def wikihow(text: str) -> str:
    """HellaSwag's texts from WikiHow without their marks, as its users have them: [title] ends a sentence."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ").strip()


def gsm8k(text: str) -> str:
    """A solution of GSM8k as a paragraph that ends as its prompts do; without the marks <<…>> for a calculator."""
    steps, _, answer = re.sub(r"<<.*?>>", "", text).partition("####")
    return f"{' '.join(steps.split())} The answer is {answer.strip()}."


FILTERS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lower": str.lower,
    "capitalize": lambda text: text[:1].upper() + text[1:],
    "spaces": lambda text: text.replace("_", " "),
    "before_blank": lambda text: text.partition(BLANK)[0],
    "after_blank": lambda text: text.partition(BLANK)[2],
    "wikihow": wikihow,
    "gsm8k": gsm8k,
}


class Absent(Exception):
    """A row has no such value; `args[0]` is its path."""


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The text. Raises `Absent` for a value that the row has not, `UserError` for an unknown filter."""

    def place(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        path, *filters = match[1].split("|")
        value = look(path, row)
        text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)  # a list: a line for each
        for name in filters:
            if name not in FILTERS:
                raise UserError(f"template {template!r}: unknown filter '{name}'{did_you_mean(name, FILTERS)}")
            text = FILTERS[name](text)
        return text

    return PLACE.sub(place, template)


def look(path: str, row: Any) -> Any:
    """The value at `path`: `a.b`, a place in a list `a.0`, or every element of it `a.*.b`, which gives a list."""
    value = row
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if part == "*":
            if not isinstance(value, (list, tuple)):
                raise Absent(path)
            rest = ".".join(parts[depth + 1 :])
            return [look(rest, element) if rest else element for element in value]
        try:
            value = value[int(part)] if isinstance(value, (list, tuple)) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise Absent(path) from None
    return value
