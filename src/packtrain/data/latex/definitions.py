"""\\newcommand, \\def, \\DeclareMathOperator, \\let … at a place in LaTeX → the Macro it defines

A macro that is a program (it looks ahead, branches, counts, defines) is recognised and left alone: what it makes can be
known only by running TeX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from packtrain.data.latex.scan import Groups, argument, option, skip_blank
from packtrain.data.words import words

COMMANDS = ("newcommand", "renewcommand", "providecommand", "DeclareRobustCommand", "newrobustcmd", "newcommandx")
DEFS = ("def", "gdef", "edef", "xdef")
DEFINES = re.compile(
    r"\\(?:(?P<command>newcommand|renewcommand|providecommand|DeclareRobustCommand|newrobustcmd)(?![a-zA-Z@])"
    r"|(?P<document>(?:New|Renew|Provide|Declare)DocumentCommand)(?![a-zA-Z@])"
    r"|(?P<operator>DeclareMathOperator)(?![a-zA-Z@])|(?P<let>let)(?![a-zA-Z@])"
    r"|(?P<def>(?:long\s*|global\s*\\)?[gex]?def)(?![a-zA-Z@]))"
)
PARAMETERS = re.compile(r"(?:[ \t]*#([1-9]))*[ \t]*(?=\{)")
PROGRAM = re.compile(
    r"@|\\(?:if(?!f(?![a-zA-Z@]))|else(?![a-zA-Z])|fi(?![a-zA-Z])|loop|repeat|expandafter|csname|futurelet|catcode|let"
    r"|global|[gex]?def|(?:re)?newcommand|providecommand|numexpr|the(?![a-zA-Z])|noexpand|ifthenelse|advance|setcounter"
    r"|addtocounter|stepcounter|refstepcounter|newif|relax|begingroup|aftergroup|everymath|active|lowercase|uppercase"
    r"|scantokens|foreach|StrSubstitute|IfNoValue|IfBoolean|IfValue|char(?![a-zA-Z])|string|meaning|romannumeral)"
)
# The structure that later steps and readers rely on, and names LaTeX itself redefines everywhere
RESERVED = words(
    """
    part chapter section subsection subsubsection paragraph subparagraph begin end item label ref cite citep
    citet caption footnote title author date maketitle documentclass usepackage input include bibliography
    appendix newline par left right text ensuremath mathrm mathbf frac sqrt abstract thanks address email
    affiliation keywords baselinestretch arraystretch refname bibname figurename tablename contentsname
    abstractname proofname appendixname UrlFont newcommand renewcommand def let verb url includegraphics hline
    toprule midrule bottomrule
    """
)
NAME = re.compile(r"\\([a-zA-Z@]+|[^a-zA-Z\s])")
XSPACE = re.compile(r"\\xspace(?![a-zA-Z@])[ \t]*")
REST_OF_LINE = re.compile(r"[ \t]*\n?")


@dataclass(frozen=True)
class Macro:
    """`body` with #1 … #9; `default`: of the first, optional argument; `spaced`: its body ended with \\xspace."""

    name: str
    arguments: int
    body: str
    default: str | None = None
    spaced: bool = False


@dataclass(frozen=True)
class Definition:
    """What stands at a place: `macro` is None where it is one to leave alone; `keep`: its text must stay."""

    name: str
    macro: Macro | None
    end: int
    keep: bool = False
    provided: bool = False  # \\providecommand: an older definition stays


def definition_at(text: str, match: re.Match[str], known: dict[str, Macro], groups: Groups) -> Definition | None:
    """The definition that `match` (of `DEFINES`) begins; None where it is torn."""
    at = match.end()
    if match["let"]:
        found = _let(text, at, known)
    elif match["operator"]:
        found = _operator(text, at, groups)
    elif match["def"]:
        found = _def(text, at, groups)
    else:
        found = _command(text, at, groups, match["command"] == "providecommand", bool(match["document"]))
    if found is None:
        return None
    end = REST_OF_LINE.match(text, found.end)
    return replace(found, end=end.end()) if end and "\n" in end[0] else found


def _name(text: str, at: int) -> tuple[str, int] | None:
    """(name, place after) of `\\name` or `{\\name}`."""
    at = skip_blank(text, at)
    braced = text[at : at + 1] == "{"
    match = NAME.match(text, skip_blank(text, at + 1) if braced else at)
    if not match:
        return None
    end = match.end()
    if braced:
        end = skip_blank(text, end)
        if text[end : end + 1] != "}":
            return None
        end += 1
    return match[1], end


def _command(text: str, at: int, groups: Groups, provided: bool, document: bool) -> Definition | None:
    if text[at : at + 1] == "*":
        at += 1
    if not (named := _name(text, at)):
        return None
    name, at = named
    count, default = 0, None
    if document:
        if not (specification := argument(text, at, groups)):
            return None
        letters, at = specification
        letters = re.sub(r"\s|\+", "", letters)
        simple = re.fullmatch(r"(?:O\{([^{}]*)\})?(m*)", letters)
        if not simple or not (body := argument(text, at, groups)):
            return Definition(name, None, body[1], keep=True) if (body := argument(text, at, groups)) else None
        count, default = len(simple[2]) + letters.startswith("O"), simple[1]
        return _checked(Macro(name, count, body[0], default), body[1], provided)
    number, at = option(text, at)
    if number is not None:
        if not re.fullmatch(r"\s*[0-9]\s*", number):
            return None
        count = int(number)
        default, at = option(text, at)
    if not (body := argument(text, at, groups)):
        return None
    return _checked(Macro(name, count, body[0], default), body[1], provided)


def _def(text: str, at: int, groups: Groups) -> Definition | None:
    if not (named := NAME.match(text, skip_blank(text, at))):
        return None
    parameters = PARAMETERS.match(text, named.end())
    if parameters is None:  # delimited parameters: \def\x#1.#2{…}
        start = text.find("{", named.end(), named.end() + 200)
        end = groups.end(start) if start >= 0 else None
        return Definition(named[1], None, end, keep=True) if end else None
    end = groups.end(parameters.end())
    if end is None:
        return None
    body = text[parameters.end() + 1 : end - 1]
    return _checked(Macro(named[1], int(parameters[1] or 0), body), end, False)


def _operator(text: str, at: int, groups: Groups) -> Definition | None:
    star = text[at : at + 1] == "*"
    if not (named := _name(text, at + star)):
        return None
    if not (body := argument(text, named[1], groups)):
        return None
    return _checked(Macro(named[0], 0, f"\\operatorname{'*' * star}{{{body[0]}}}"), body[1], False)


def _let(text: str, at: int, known: dict[str, Macro]) -> Definition | None:
    """\\let\\a\\b copies what \\b is now; of a command of LaTeX's own it is left alone."""
    if not (named := NAME.match(text, skip_blank(text, at))):
        return None
    at = skip_blank(text, named.end())
    if text[at : at + 1] == "=":
        at = skip_blank(text, at + 1)
    target = NAME.match(text, at)
    if not target:
        return None
    macro = known.get(target[1])
    if macro is None:
        return Definition(named[1], None, target.end(), keep=True)
    return _checked(replace(macro, name=named[1]), target.end(), False)


def _checked(macro: Macro, end: int, provided: bool) -> Definition:
    """The macro, unless it is a program, reserved, or a length; \\xspace at its end is noted and taken off."""
    body = macro.body.strip() if "\n" in macro.body else macro.body
    spaced = re.search(r"\\xspace\s*(?:\{\})?\s*\Z", body)
    body = XSPACE.sub("", body[: spaced.start()] if spaced else body)
    numbers = {int(n) for n in re.findall(r"#([1-9])", body)}
    bad = macro.name in RESERVED or PROGRAM.search(body) or "##" in body or max(numbers, default=0) > macro.arguments
    if bad or (macro.name.startswith("the") and macro.name != "the" and "\\" in body and "arabic" in body):
        return Definition(macro.name, None, end, keep="@" not in macro.name, provided=provided)
    return Definition(macro.name, replace(macro, body=body, spaced=bool(spaced)), end, provided=provided)
