"""two final answers in LaTeX → without what does not matter (units, spaces, styles) → do they say the same?

same text → yes.  Else part by part: tuples, intervals, matrices in order; sets, unions, bare lists in any order.
Else by value: numbers, and formulas at points where their variables are given the same values (`latex_values`), so
that 1/√3 is √3/3 and (x+1)² is x²+2x+1, while 0.33 is not 1/3.
"""

from __future__ import annotations

import re
import string
from itertools import pairwise

from packtrain.evaluation.latex_values import Unreadable, value

CLOSE = 1e-9
LETTERS = [  # points at which formulas are compared; more than one, so that no chance makes two of them equal
    {letter: complex(1 + (ord(letter) * place) % 1) for letter in string.ascii_letters if letter != "i"}
    for place in (0.7310585, 0.2689414, 0.4142135)
]
PLAIN = (
    ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("\\left", ""), ("\\right", ""), ("\\big", ""),
    ("\\Big", ""), ("\\displaystyle", ""), ("\\ ", " "), ("\\,", " "), ("\\;", " "), ("\\:", " "), ("\\quad", " "),
    ("~", " "), ("\\$", ""), ("$", ""), ("\\%", ""), ("%", ""), ("^\\circ", ""), ("^{\\circ}", ""), ("\\degree", ""),
    ("°", ""), ("−", "-"), ("\\mbox", "\\text"), ("\\textbf", "\\text"), ("\\mathrm", "\\text"),
    ("\\textrm", "\\text"), ("\\mathbf", "\\text"), ("\\{", "⟨"), ("\\}", "⟩"), ("\\lbrace", "⟨"), ("\\rbrace", "⟩"),
)  # fmt: skip
TEXT = re.compile(r"\\text\s*\{([^{}]*)\}(\^\{?\d\}?)?")
MATRIX = re.compile(r"\\begin\{([pbvB]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.S)
BEFORE = re.compile(r"^(?:[a-zA-Z](?:\([a-zA-Z]\))?|\\text\{[^{}]*\})\s*(?:=|\\in\b)\s*([^=<>]+)$")
UNITS = re.compile(r"^(-?[\d.,/]*\d)\s+[a-zA-Z][a-zA-Z. ]+(?:\^\{?\d\}?)?$")
THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)")
ROW = "¶"  # the end of a matrix's row, of which LaTeX's own sign begins like a space


def equivalent(one: str, other: str) -> bool:
    """Whether the two final answers are the same."""
    return _same(normalise(one), normalise(other))


def boxed(text: str) -> str | None:
    """What stands in the last \\boxed{…} (or \\fbox{…}); None where there is none, or its brace is never closed."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0:
        return None
    rest = text[start:].partition("box")[2].removeprefix("ed")
    if not rest.lstrip().startswith("{"):
        return rest.split("$")[0].strip() or None  # \boxed 5
    rest, depth = rest.lstrip(), 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if not depth:
            return rest[1:place]
    return None


def normalise(text: str) -> str:
    """`text` without units, currency, styles and spaces that do not matter."""
    text = re.sub(r",\s*\\!\s*", "", text.replace("\\\\", ROW)).replace("\\!", "").replace("{,}", "")
    for old, new in PLAIN:
        end = r"(?![a-zA-Z])" if old[-1].isalpha() else ""
        text = re.sub(re.escape(old) + end, lambda _, new=new: new, text)
    text = text.strip().rstrip(".").strip()
    before = BEFORE.match(text)
    text = _words(before[1] if before else text)
    units = UNITS.match(text)
    text = units[1] if units else text
    text = THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text = re.sub(r"_\{(\w+)\}", r"_\1", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\frac\s*(\w)\s*(\w)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*(\w)\s*\{", r"\\frac{\1}{", text)
    text = re.sub(r"(\\frac\{[^{}]*\})\s*(\w)", r"\1{\2}", text)
    letter = re.fullmatch(r"\(([A-Z])\)", text)
    text = letter[1] if letter else text
    return " ".join(text.split())


def _words(text: str) -> str:
    """\\text{…}: an answer of its own is kept, a unit behind a number is not; `and`, `or` are commas."""
    text = re.sub(r",?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\s(?:and|or)\s)", ",", text)
    if not TEXT.sub("", text).strip(" ()"):
        text = TEXT.sub(lambda match: match[1].strip(), text)
        return re.sub(r"^\((.)\)$", r"\1", text.strip().rstrip("."))
    return TEXT.sub(lambda match: match[1] if match.start() == 0 else "", text).strip()


def _same(one: str, other: str) -> bool:
    bare = [re.sub(r"\s+", "", text) for text in (one, other)]
    if bare[0] == bare[1] or (bare[0].isalpha() and len(bare[0]) > 1 and bare[0].lower() == bare[1].lower()):
        return bool(bare[0])
    left, right = _parts(one), _parts(other)
    if left or right:
        return left is not None and right is not None and left[0] == right[0] and _all_same(left, right)
    return _same_value(one, other)


Parts = tuple[str, list[str]]


def _all_same(left: Parts, right: Parts) -> bool:
    """Each part has its counterpart: in order, or for lists, sets and unions in any order."""
    (kind, ours), (_, theirs) = left, right
    if len(ours) != len(theirs):
        return False
    if kind not in (",", "⟨⟩", "∪"):
        return all(_same(a, b) for a, b in zip(ours, theirs, strict=True))
    left_over = list(theirs)
    for part in ours:
        match = next((i for i, candidate in enumerate(left_over) if _same(part, candidate)), None)
        if match is None:
            return False
        del left_over[match]
    return True


def _parts(text: str) -> Parts | None:
    """(kind, parts) of what is made of several; None for a single one."""
    matrix = MATRIX.fullmatch(text.strip())
    if matrix:
        rows = [row for row in matrix[2].split(ROW) if row.strip()]
        if not rows:
            return None
        return "matrix" + "&" * rows[0].count("&"), [cell.strip() for row in rows for cell in row.split("&")]
    for mark, kind in (("\\cup", "∪"), (",", ",")):
        found = _split(text, mark)
        if len(found) > 1:
            return kind, found
    if "\\pm" in text:
        return ",", [text.replace("\\pm", "+"), text.replace("\\pm", "-")]
    if text[:1] in ("(", "[", "⟨") and text[-1:] in (")", "]", "⟩") and _is_one_pair(text):
        inside = _split(text[1:-1], ",")
        if len(inside) > 1 or text[0] == "⟨":
            return text[0] + text[-1], inside
    return None


def _is_one_pair(text: str) -> bool:
    """Whether the first bracket is closed by the last: a half-open interval counts."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{⟨") - (character in ")]}⟩")
        if not depth:
            return place == len(text) - 1
    return False


def _split(text: str, mark: str) -> list[str]:
    """At each `mark` outside of all brackets."""
    depth, cuts = 0, [-len(mark)]
    for place, character in enumerate(text):
        depth += (character in "([{⟨") - (character in ")]}⟩")
        if not depth and text.startswith(mark, place):
            cuts.append(place)
    return [text[a + len(mark) : b].strip() for a, b in pairwise([*cuts, len(text)])]


def _same_value(one: str, other: str) -> bool:
    """By value, where a letter stands for the same number on both sides; equations up to a factor."""
    sides = [text.split("=") for text in (one, other)]
    if len(sides[0]) != len(sides[1]) or len(sides[0]) > 2:
        return False
    try:
        pairs = [(_difference(sides[0], letters), _difference(sides[1], letters)) for letters in LETTERS]
    except Unreadable:
        return False
    if len(sides[0]) == 1:
        return all(_close(left, right) for left, right in pairs)
    (a, b), *rest = pairs
    return all(_close(left * b, right * a) and bool(left) == bool(right) for left, right in [(a, b), *rest])


def _difference(sides: list[str], letters: dict[str, complex]) -> complex:
    return value(sides[0], letters) - (value(sides[1], letters) if len(sides) > 1 else 0)


def _close(left: complex, right: complex) -> bool:
    return abs(left - right) <= CLOSE * max(1.0, abs(left), abs(right))
