"""unicodedata → one document per block of 256 code points, one readable line per character

    U+00E9 LATIN SMALL LETTER E WITH ACUTE; lowercase letter; decomposes into U+0065 U+0301; uppercase U+00C9

Characters are named, not printed: thousands of characters that occur once would crowd a small vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from packtrain.data.documents import Document, split_of
from packtrain.data.domain import Generator
from packtrain.data.report import Report

NAME = "unicode"
BLOCK = 256
CATEGORIES = {
    "Lu": "uppercase letter", "Ll": "lowercase letter", "Lt": "titlecase letter", "Lm": "modifier letter",
    "Lo": "letter", "Mn": "nonspacing mark", "Mc": "spacing mark", "Me": "enclosing mark", "Nd": "decimal digit",
    "Nl": "letter number", "No": "number", "Pc": "connector", "Pd": "dash", "Ps": "opening bracket",
    "Pe": "closing bracket", "Pi": "opening quote", "Pf": "closing quote", "Po": "punctuation",
    "Sm": "mathematical symbol", "Sc": "currency sign", "Sk": "modifier symbol", "So": "symbol",
    "Zs": "space", "Zl": "line separator",
    "Zp": "paragraph separator", "Cc": "control", "Cf": "format character",
}  # fmt: skip
WIDTHS = {"F": "fullwidth", "H": "halfwidth", "W": "wide"}


def generate(source: Path | None, held_out: float, report: Report) -> Iterator[Document]:
    """`source` is not used: the database is Python's own."""
    for start in range(0, 0x110000, BLOCK):
        lines = [line for code in range(start, start + BLOCK) if (line := describe(chr(code)))]
        if not lines:
            continue  # unassigned, or all of it named by number
        identity = f"U+{start:04X}..U+{start + BLOCK - 1:04X}"
        yield Document(
            id=f"{NAME}/{identity}",
            text="\n".join([f"Characters {identity}", "", *lines]) + "\n",
            domain=NAME,
            source=f"Unicode {unicodedata.unidata_version}",
            language="en",
            licence="Unicode-3.0",
            split=split_of(f"unicode block {identity}", held_out),
        )


def describe(character: str) -> str | None:
    """One line about a character, or None where it has no name of its own (ideographs are named by their number)."""
    name = unicodedata.name(character, "")
    code = f"{ord(character):04X}"
    if not name or name.endswith(f"-{code}") or name.startswith("HANGUL SYLLABLE"):
        return None
    facts = [f"U+{code} {name}", CATEGORIES.get(unicodedata.category(character), "other")]
    if (value := unicodedata.numeric(character, None)) is not None:
        facts.append(f"value {value:g}")
    if unicodedata.combining(character):
        facts.append(f"combining class {unicodedata.combining(character)}")
    if decomposition := unicodedata.decomposition(character):
        kind, _, codes = decomposition.rpartition("> ")
        points = " ".join(f"U+{c}" for c in codes.split())
        facts.append(f"{kind.strip('<')} form of {points}" if kind else f"decomposes into {points}")
    for word, other in (("uppercase", character.upper()), ("lowercase", character.lower())):
        if other != character:
            facts.append(f"{word} {' '.join(f'U+{ord(c):04X}' for c in other)}")
    if unicodedata.mirrored(character):
        facts.append("mirrored")
    if width := WIDTHS.get(unicodedata.east_asian_width(character)):
        facts.append(width)
    return "; ".join(facts)


DOMAIN = Generator(NAME, generate, lambda _: f"Unicode {unicodedata.unidata_version}")
