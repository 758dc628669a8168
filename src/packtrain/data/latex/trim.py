"""LaTeX → from its first section to its end, without bibliography and appendix

A paper without a section begins after its abstract, else after \\maketitle, else at \\begin{document}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packtrain.data.latex.scan import LITERAL, Groups, Literals

BEGIN = re.compile(r"\\begin\s*\{document\}")
END = re.compile(r"\\(?:end\s*\{document\}|bye(?![a-zA-Z])|endinput(?![a-zA-Z]))")
SECTION = re.compile(r"\\(?:section|chapter|part)\s*\*?\s*(?:\[[^\]\n]{0,300}\]\s*)?\{")
ABSTRACT = re.compile(r"\\end\s*\{abstract\}|\\endabstract(?![a-zA-Z])")
TITLE = re.compile(r"\\maketitle(?![a-zA-Z])")
APPENDIX = re.compile(
    r"\\(?:appendix|appendices|Appendix)(?![a-zA-Z])|\\begin\s*\{(?:appendix|appendices|subappendices)\}"
    r"|\\(?:section|chapter|part)\s*\*?\s*\{\s*(?:(?:Technical|Supplementary|Online)\s+)?(?:Appendix|Appendices|"
    r"Supplementary (?:Material|Information))\b",
    re.IGNORECASE,
)
BIBLIOGRAPHIES = ("thebibliography", "references", "biblist", "bibdiv", "mcitethebibliography")
BIBLIOGRAPHY = re.compile(
    rf"\\begin\s*\{{(?P<kind>{'|'.join(BIBLIOGRAPHIES)})\}}"
    r"|\\(?:bibliography|bibliographystyle|addbibresource|nobibliography|printbibliography|putbib)(?![a-zA-Z])"
    r"(?P<arguments>\s*(?:\[[^\]]{0,300}\])?)"
)
BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


@dataclass(frozen=True)
class Trimmed:
    """`begin`: what the text begins with: section, abstract, title or document; None: nothing marks a beginning."""

    text: str
    begin: str | None
    cut: tuple[str, ...]


def trimmed(text: str) -> Trimmed:
    """The body of a paper; `cut` names what was taken off."""
    cut: list[str] = []
    literal = _literal_starts(text)
    document = _first(BEGIN, text, 0, literal)
    start = document.end() if document else 0
    if end := _first(END, text, start, literal):
        text = text[: end.start()]
    begin = None
    if section := _first(SECTION, text, start, literal):
        start, begin = section.start(), "section"
    else:
        for name, pattern in (("abstract", ABSTRACT), ("title", TITLE)):
            if mark := _first(pattern, text, start, literal):
                start, begin = mark.end(), name
                break
        else:
            begin = "document" if document else None
    text = text[start:]
    literal = _literal_starts(text)
    if (appendix := _first(APPENDIX, text, 1, literal)) and appendix.start() > 0:
        rest = text[appendix.start() :]
        text = text[: appendix.start()]
        cut.append("appendix")
        if not text.strip():
            text = rest
            cut.pop()
    text, count = _without_bibliography(text)
    cut += ["bibliography"] * bool(count)
    return Trimmed(BLANK_LINES.sub("\n\n", text).strip() + "\n" if text.strip() else "", begin, tuple(cut))


def _literal_starts(text: str) -> list[tuple[int, int]]:
    """Where verbatim stretches lie: a \\section in a listing is no section."""
    literals, spans, at = Literals(text), [], 0
    while match := LITERAL.search(text, at):
        at = literals.end(match)
        spans.append((match.start(), at))
    return spans


def _first(pattern: re.Pattern[str], text: str, start: int, literal: list[tuple[int, int]]) -> re.Match[str] | None:
    at = 0
    for match in pattern.finditer(text, start):
        while at < len(literal) and literal[at][1] <= match.start():
            at += 1
        if at == len(literal) or match.start() <= literal[at][0]:
            return match
    return None


def _without_bibliography(text: str) -> tuple[str, int]:
    pieces, place, count, missing, groups = [], 0, 0, set(), Groups(text)
    for match in BIBLIOGRAPHY.finditer(text):
        if match.start() < place:
            continue
        end = match.end()
        if kind := match["kind"]:
            close = f"\\end{{{kind}}}"
            found = -1 if close in missing else text.find(close, end)
            if found < 0:
                missing.add(close)
                end = len(text)  # the list was never ended: it is the end
            else:
                end = found + len(close)
        elif text[end : end + 1] == "{":
            end = groups.end(end) or end
        pieces.append(text[place : match.start()])
        place, count = end, count + 1
    pieces.append(text[place:])
    return "".join(pieces), count
