"""LaTeX with the authors' macros → LaTeX with each use replaced by what it stands for; the definitions go

    \\newcommand{\\norm}[2][2]{\\lVert #2 \\rVert_{#1}}   …   \\norm{x}  →  \\lVert x \\rVert_{2}

Read from front to back as TeX does, so that a use means the definition before it. Nested macros expand to `DEPTH`; work
and size are bounded, so that a macro bomb costs no more than a paper: what is left stays as written, and is counted.
"""

from __future__ import annotations

import re
from collections import Counter

from packtrain.data.latex.definitions import DEFINES, Macro, definition_at
from packtrain.data.latex.scan import LITERAL, Groups, Literals, argument, option, skip_blank
from packtrain.data.words import words

DEPTH = 24
GROWTH, LEAST = 20, 1 << 20  # an expanded paper may be so many times as long as its source, at least so long
TOKEN = re.compile(LITERAL.pattern + r"|\\(?P<name>[a-zA-Z@]+|[^a-zA-Z\s])", re.DOTALL)
DEFINING = words(
    """
    newcommand renewcommand providecommand DeclareRobustCommand newrobustcmd NewDocumentCommand
    RenewDocumentCommand ProvideDocumentCommand DeclareDocumentCommand DeclareMathOperator let def gdef edef
    xdef long global
    """
)
PARAMETER = re.compile(r"#([1-9])")
# Commands of one argument that take a macro without braces: \\hat\\x must become \\hat{\\mathbf{x}}
TAKES_ONE = re.compile(
    r"(?:[\^_]|\\(?:hat|bar|tilde|vec|dot|ddot|widehat|widetilde|overline|underline|math(?:bf|rm|cal|bb|sf|it|frak|scr|tt)"
    r"|boldsymbol|bm|[dt]?frac|sqrt|text(?:bf|it|rm|sf|tt|sc)?|emph|acute|grave|check|breve|mathring|operatorname))\s*\Z"
)
ONE_TOKEN = re.compile(r"\\(?:[a-zA-Z@]+|.)|[^\\{}]|\{[^{}]*\}")
UNBRACED = re.compile(r"\\(?:begin|end|left|right|item|par|\\)(?![a-zA-Z])|&")
COMMAND_END = re.compile(r"\\[a-zA-Z@]+\Z")


class _Limit(Exception):
    pass


class Expander:
    """One paper's macros. `expanded` and `left` count uses of macros replaced, and of those left as written."""

    def __init__(self) -> None:
        self.known: dict[str, Macro] = {}
        self.expanded: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.limited = False
        self._room = 0

    def __call__(self, text: str) -> str:
        """The text with its macros expanded, its definitions taken out."""
        self._room = max(GROWTH * len(text), LEAST)
        return self._expand(text, 0)

    def _expand(self, text: str, depth: int) -> str:
        if "\\" not in text:
            return text
        literals, groups, pieces, place, at = Literals(text), Groups(text), [], 0, 0
        while match := TOKEN.search(text, at):
            at, name = match.end(), match["name"]
            if name is None:
                at = literals.end(match)
            elif depth == 0 and name in DEFINING:
                if (start := DEFINES.match(text, match.start())) and (
                    found := definition_at(text, start, self.known, groups)
                ):
                    at = found.end
                    if found.macro is None:
                        self.known.pop(found.name, None)
                        self.left["definitions that are programs"] += 1
                    elif not (found.provided and found.name in self.known):
                        self.known[found.name] = found.macro
                    if not found.keep:
                        pieces.append(text[place : match.start()])
                        place = at
            elif macro := self.known.get(name):
                if self.limited or depth >= DEPTH:
                    self.left["uses beyond the limits"] += 1
                    continue
                if (use := self._used(macro, text, at, groups)) is None:
                    self.left["uses without their arguments"] += 1
                    continue
                body, end = use
                pieces.append(text[place : match.start()])
                before = pieces[-1] or (pieces[-2] if len(pieces) > 1 else "")
                try:
                    new = self._expand(self._spend(body), depth + 1)
                except _Limit:
                    self.left["uses beyond the limits"] += 1
                    place = match.start()
                    continue
                self.expanded[name] += 1
                pieces.append(_fitted(before[-40:], new, text[end : end + 1]))
                place = at = end
        pieces.append(text[place:])
        return "".join(pieces)

    def _spend(self, body: str) -> str:
        self._room -= len(body) + 20
        if self._room < 0:
            self.limited = True
            raise _Limit
        return body

    def _used(self, macro: Macro, text: str, at: int, groups: Groups) -> tuple[str, int] | None:
        """(body with its arguments, place after) of a use that ends at `at`."""
        values: list[str] = []
        if macro.default is not None:
            value, at = option(text, at)
            values.append(macro.default if value is None else value)
        while len(values) < macro.arguments:
            found = argument(text, at, groups)
            if found is None:
                return None
            values.append(found[0])
            at = found[1]
        if not macro.arguments:
            at = _after_name(macro, text, at)
        size = len(macro.body) + sum(len(v) for v in values) * max(macro.body.count("#"), 1)
        if size > self._room:
            self.limited = True
            return None
        return PARAMETER.sub(lambda m: values[int(m[1]) - 1], macro.body), at


def _after_name(macro: Macro, text: str, at: int) -> int:
    """After what belongs to a name without arguments: `{}`, or the blanks that TeX skips after it."""
    if text.startswith("{}", at):
        return at + 2
    if not macro.name[-1].isalpha() or macro.spaced or COMMAND_END.search(macro.body):
        return at  # the blank stands for \\xspace, or ends the body's last command
    end = skip_blank(text, at)
    return end if end > at and text[at] != "\n" and "\n" not in text[at:end] else at


def _fitted(before: str, new: str, after: str) -> str:
    """`new` between its neighbours: braces where an argument is awaited, a blank where two names would join."""
    if TAKES_ONE.search(before) and not ONE_TOKEN.fullmatch(new) and not UNBRACED.search(new):
        new = f"{{{new.strip()}}}"
    if new[:1].isalpha() and COMMAND_END.search(before):
        new = " " + new
    if after.isalpha() and after.isascii() and COMMAND_END.search(new):
        new += " "
    return new
