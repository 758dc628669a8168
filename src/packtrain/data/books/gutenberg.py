"""a Project Gutenberg file → (header | book | footer) → the book, and what its header says of it

*** START OF … and *** END OF … bound the book; where one of them is missing its side is cut by what only a header or a
licence says. A text with neither is left as it is.
"""

from __future__ import annotations

import re

START = re.compile(
    r"^[ \t]*(?:\*{2,3}[ \t]?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*(?:\n[^\n]+){0,2}?\*{3}"
    r"|\*{2,3}[ \t]?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*"
    r"|\*?END[* ]{0,2}THE SMALL PRINT[^\n]*|\*\*\* ?START: ?SMALL PRINT[^\n]*|<<THIS ELECTRONIC VERSION OF[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)
END = re.compile(
    r"^[ \t]*(?:\*{2,3}[ \t]?END OF (?:THE|THIS) PROJECT GUTENBERG"
    r"|(?:this is the )?end of (?:the |this )?project gutenberg"
    r"|\*{3} ?START: ?FULL LICENSE|\*{5} ?This file should be named|Updated editions will replace the previous one)",
    re.MULTILINE | re.IGNORECASE,
)  # fmt: skip
LICENCE = re.compile(
    r"^[^\n]*(?:THE FULL PROJECT GUTENBERG(?:-tm|™)? LICENSE|General Terms of Use and Redistributing Project Gutenberg"
    r"|PLEASE READ THIS BEFORE YOU DISTRIBUTE OR USE THIS WORK)",
    re.MULTILINE | re.IGNORECASE,
)
HEADER_LINE = re.compile(
    r"project gutenberg|this (?:e-?book|etext) is for the use of anyone|^(?:title|author|translator|editor|illustrator"
    r"|release date|posting date|last updated|most recently updated|language|character set encoding|edition|subtitle"
    r"|original publication|credits)\s*:"
    r"|re-use it under the terms|with this e-?book or online at|almost no restrictions"
    r"|www\.gutenberg\.(?:org|net)",
    re.IGNORECASE,
)
CREDIT = re.compile(
    r"(?:\[?e-?text )?(?:produced|prepared|transcribed|scanned|proofread|digitized) (?:by|and)\b"
    r"|^e-?text prepared by|^(?:this )?(?:e-?book|e-?text|html version) (?:was )?(?:produced|prepared|created)",
    re.IGNORECASE,
)
FIELD = re.compile(r"^(Title|Author|Language|Release Date)\s*:[ \t]*(\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)
NOTE = re.compile(r"^[ \t\[_*+|]*Transcriber['’]?s?['’]? (?:end)?notes?\b", re.MULTILINE | re.IGNORECASE)
ILLUSTRATION = re.compile(r"\[Illustrations?(?::[^\[\]]{0,500})?\]", re.IGNORECASE)
GUTENBERG = re.compile(r"project gutenberg", re.IGNORECASE)
COPYRIGHTED = re.compile(r"this is a copyrighted project gutenberg|copyright status:\s*copyrighted", re.IGNORECASE)
HEAD_LINES, HEAD, TAIL = 400, 60_000, 40_000  # what a header or a licence may fill, in lines and characters
HEADER_GAP = 25  # lines between two lines of one header


def fields(text: str) -> dict[str, str]:
    """title, author, language and release date as the header names them."""
    found = FIELD.findall(text[:HEAD])
    return {name.lower().replace(" ", "_"): value.strip() for name, value in reversed(found)}


def is_free(text: str) -> bool:
    """Whether Project Gutenberg's own words stand here, and none that the book is copyrighted."""
    edges = text[:HEAD] + text[-TAIL:]
    return bool(GUTENBERG.search(edges)) and not COPYRIGHTED.search(edges)


def without_boilerplate(text: str) -> tuple[str, list[str]]:
    """The book without header, credits, footer and licence, and which of them were there."""
    cut: list[str] = []
    limit = min(len(text), max(HEAD, len(text) // 3))
    starts = list(START.finditer(text, 0, limit))
    if starts:
        text = text[starts[-1].end() :]
        cut.append("header")
    elif end := _header_end(text):
        text = text[end:]
        cut.append("header without its end mark")
    if found := _footer(text):
        start, marked = found
        text = text[:start]
        cut.append("footer" if marked else "licence without an end mark")
    if cut and (note := _last_note(text)):
        text = text[:note]
        cut.append("transcriber's note")
    if cut:
        text, credits = _without_credits(text)
        cut += ["credits"] * credits
    return text.strip("\n") + "\n" if text.strip() else "", cut


def _header_end(text: str) -> int:
    """After the last line that only a header has, where the first of them stands at the top; else 0."""
    place = end = 0
    last = -1
    for number, line in enumerate(text[:HEAD].split("\n")[:HEAD_LINES]):
        place += len(line) + 1
        if HEADER_LINE.search(line[:300]):
            if last < 0 and number > HEADER_GAP:
                return 0
            if last < 0 and not re.search("gutenberg", text[:3000], re.IGNORECASE):
                return 0  # "Title: …" at the top of anybody's text
            if last >= 0 and number - last > HEADER_GAP:
                break
            last, end = number, place
    return min(end, len(text))


def _footer(text: str) -> tuple[int, bool] | None:
    """Where the footer starts, and whether a mark said so; looked for in the second half."""
    half = len(text) // 2 if len(text) > 2 * TAIL else 0
    if mark := END.search(text, half):
        return mark.start(), True
    if licence := LICENCE.search(text, half):
        return licence.start(), False
    return None


def _last_note(text: str) -> int:
    """Where a transcriber's note begins that fills the end of the book; else 0."""
    found = [m.start() for m in NOTE.finditer(text, max(0, len(text) - TAIL // 2, len(text) * 9 // 10))]
    return found[0] if found else 0


def _without_credits(text: str) -> tuple[str, int]:
    """Without "Produced by …" among the first paragraphs."""
    kept: list[str] = []
    rest, credits = text.lstrip("\n"), 0
    for _ in range(4):
        paragraph, gap, after = rest.partition("\n\n")
        if len(paragraph) < 1500 and CREDIT.search(paragraph.strip()[:200]):
            credits += 1
        else:
            kept.append(paragraph + gap)
        rest = after.lstrip("\n") if len(kept) == 0 else after
    return "".join(kept) + rest, credits


def without_illustrations(text: str) -> tuple[str, int]:
    """[Illustration] and [Illustration: caption] stand for pictures that are not here."""
    return ILLUSTRATION.subn("", text)
