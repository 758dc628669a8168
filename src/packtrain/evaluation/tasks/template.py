"""template + row → text: `Question: {question}\\nAnswer: {choices.0|strip}`

A name, a path of names and numbers into nested values, then filters. Nothing is called or evaluated: a template cannot
do more than show a row. `{{` and `}}` are braces; one that stands alone is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from packtrain.errors import UserError, did_you_mean

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
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


@lru_cache(maxsize=256)
def parse(template: str) -> tuple[str | tuple[str, tuple[str, ...]], ...]:
    """Texts as they are, and (path, filters) of each place. Raises `UserError` for a brace that stands alone, with its
    line, and for an unknown filter."""
    parts: list[str | tuple[str, tuple[str, ...]]] = []
    end = 0
    for match in PLACE.finditer(template):
        parts.append(template[end : match.start()])
        end = match.end()
        if match[1] is not None:
            path, *filters = match[1].split("|")
            for name in filters:
                if name not in FILTERS:
                    raise UserError(f"{match[0]} in a template: unknown filter '{name}'{did_you_mean(name, FILTERS)}")
            parts.append((path, tuple(filters)))
        elif len(match[0]) == 2:
            parts.append(match[0][0])
        else:
            sign, number = match[0], template.count("\n", 0, match.start()) + 1
            line = template.split("\n")[number - 1].strip()
            what = "is not closed" if sign == "{" else "closes nothing"
            raise UserError(f"line {number} of a template, {line!r}: a {sign} {what}; {sign * 2} is the sign itself")
    parts.append(template[end:])
    return tuple(part for part in parts if part)


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The text. Raises `Absent` for a value that the row has not, `UserError` for a template that `parse` refuses."""
    return "".join(part if isinstance(part, str) else shown(*part, row) for part in parse(template))


def shown(path: str, filters: tuple[str, ...], row: Mapping[str, Any]) -> str:
    """The value at `path` as text, through its filters; a list is a line for each."""
    value = look(path, row)
    if value is None:  # else the prompt would say "None"
        raise Absent(path)
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    for name in filters:
        text = FILTERS[name](text)
    return text


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
