"""the few readings of LaTeX that everything here shares: groups, arguments, verbatim stretches

All of them are linear in what they read and take any text: an unclosed group is None, never an error.
"""

from __future__ import annotations

import re

BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
BRACKET = re.compile(r"\\.|[{}\]]", re.DOTALL)
NAME = re.compile(r"\\(?:[a-zA-Z@]+|.)", re.DOTALL)
BLANK = re.compile(r"[ \t]*(?:\n[ \t]*)?(?!\n)")
VERBATIMS = "verbatim|Verbatim|BVerbatim|LVerbatim|lstlisting|minted|filecontents"
# \verb|x|, \begin{verbatim}, \url{…}: what stands inside is as it stands
LITERAL = re.compile(
    r"\\(?:verb\*?(?P<delimiter>[^a-zA-Z\s*])|(?:url|path|href|nolinkurl)[ ]?\{"
    r"|lstinline(?:\[[^\]\n]*\])?(?P<code>[^a-zA-Z\s{\[])"
    rf"|begin\{{(?P<environment>(?:{VERBATIMS})\*?)\}})"
)
LONGEST_OPTION, LONGEST_URL = 2000, 500


class Groups:
    """Where each `{` of a text closes; found once, in one pass, when first asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._ends: dict[int, int] | None = None

    def end(self, start: int) -> int | None:
        """The place after the `}` that closes the `{` at `start`; None where none does."""
        if self._ends is None:
            self._ends, opened = {}, []
            for match in BRACE.finditer(self.text):
                if match[0] == "{":
                    opened.append(match.start())
                elif match[0] == "}" and opened:
                    self._ends[opened.pop()] = match.end()
        return self._ends.get(start)


def bracket_end(text: str, start: int) -> int | None:
    """The place after the `]` that closes the `[` at `start`, braces respected; None where none does."""
    depth = 0
    for match in BRACKET.finditer(text, start + 1, start + LONGEST_OPTION):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth < 0:
                return None
        elif match[0] == "]" and depth == 0:
            return match.end()
    return None


def skip_blank(text: str, start: int) -> int:
    """After spaces and at most one line end, as TeX looks for an argument."""
    match = BLANK.match(text, start)
    return match.end() if match else start


def argument(text: str, start: int, groups: Groups) -> tuple[str, int] | None:
    """(content, place after) of the argument at `start`: a group without its braces, a command, or one character."""
    start = skip_blank(text, start)
    if start >= len(text):
        return None
    if text[start] == "{":
        end = groups.end(start)
        return (text[start + 1 : end - 1], end) if end else None
    if text[start] in "}\n":
        return None
    if match := NAME.match(text, start):
        return match[0], match.end()
    return text[start], start + 1


def option(text: str, start: int) -> tuple[str | None, int]:
    """(content, place after) of a `[…]` at `start`; (None, start) where there is none."""
    at = skip_blank(text, start)
    if at < len(text) and text[at] == "[" and (end := bracket_end(text, at)):
        return text[at + 1 : end - 1], end
    return None, start


class Literals:
    """Finds where literal stretches end; remembers which ends do not exist, so that many openings stay linear."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.missing: set[str] = set()

    def end(self, match: re.Match[str]) -> int:
        """The place after the stretch that `match` (of `LITERAL`) opens; just after the opening where it never ends."""
        text, start = self.text, match.end()
        if environment := match["environment"]:
            close = f"\\end{{{environment}}}"
            if close in self.missing:
                return start
            end = text.find(close, start)
            if end < 0:
                self.missing.add(close)
                return start
            return end + len(close)
        if delimiter := match["delimiter"] or match["code"]:
            line = text.find("\n", start, start + 1000)
            end = text.find(delimiter, start, line if line >= 0 else start + 1000)
            return end + 1 if end >= 0 else start
        depth = 1
        for brace in BRACE.finditer(
            text, start, start + LONGEST_URL if text.find("}", start, start + LONGEST_URL) > 0 else start
        ):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                return brace.end()
        return start
