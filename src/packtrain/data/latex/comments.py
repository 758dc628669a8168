"""LaTeX → LaTeX without comments: %, \\begin{comment}, \\iffalse; \\%, \\verb, \\url and listings are respected

As TeX reads it, a comment takes its line end with it, and the blanks that begin the next line.
"""

from __future__ import annotations

import re

from packtrain.data.latex.scan import LITERAL, Literals

TOKEN = re.compile(LITERAL.pattern + r"|\\begin\{(?P<comment>comment)\}|\\(?:iffalse|fi)(?![a-zA-Z@])|\\.|%", re.DOTALL)
CONDITION = re.compile(r"\\(?:(if(?!f(?![a-zA-Z@])|thenelse)[a-zA-Z@]*)|fi(?![a-zA-Z@])|else(?![a-zA-Z@]))")
LINE_START = re.compile(r"[ \t]*")
BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


def without_comments(text: str) -> tuple[str, int]:
    """The text without its comments, and how many there were."""
    literals, pieces, place, at, count = Literals(text), [], 0, 0, 0
    no_end = False  # of a comment environment
    ends: dict[int, int] | None = None
    while match := TOKEN.search(text, at):
        found = match[0]
        at = match.end()
        if found == "%":
            start, end = match.start(), text.find("\n", at)
            end = len(text) if end < 0 else end
            line = text.rfind("\n", place, start) + 1 or place
            alone = not text[line:start].strip() and (line == 0 or text[line - 1 : line] == "\n")
            pieces.append(text[place : line if alone else start])
            place = at = end if end == len(text) else LINE_START.match(text, end + 1).end()  # type: ignore[union-attr]
            if not alone and text[at : at + 1] == "\n":
                place = at = end  # a blank line follows: the paragraph ends here all the same
            elif alone:
                place = at = min(end + 1, len(text))
            count += 1
        elif match["comment"]:
            end = -1 if no_end else text.find("\\end{comment}", at)
            no_end = end < 0
            if not no_end:
                pieces.append(text[place : match.start()])
                place = at = end + len("\\end{comment}")
                count += 1
        elif found in ("\\iffalse", "\\fi"):
            ends = _false_ends(text) if ends is None else ends
            if end := ends.get(match.start()):
                pieces.append(text[place : match.start()])
                place = at = end
                count += found == "\\iffalse"
        elif match["environment"] or match["delimiter"] or match["code"] or found[-1] == "{":
            at = literals.end(match)
    pieces.append(text[place:])
    return BLANK_LINES.sub("\n\n", "".join(pieces)), count


def _false_ends(text: str) -> dict[int, int]:
    """What \\iffalse hides, {start: end}: to its \\fi, or to its \\else, and then that \\fi itself."""
    hidden: dict[int, int] = {}
    opened: list[tuple[int, bool, bool]] = []  # (start, is it an \\iffalse, was there an \\else)
    for match in CONDITION.finditer(text):
        if match[1]:
            opened.append((match.start(), match[1] == "iffalse", False))
        elif opened and match[0] == "\\fi":
            start, false, other = opened.pop()
            if false:
                hidden[match.start() if other else start] = match.end()
        elif opened and opened[-1][1] and not opened[-1][2]:
            start, false, _ = opened.pop()
            hidden[start] = match.end()
            opened.append((start, false, True))
    return hidden
