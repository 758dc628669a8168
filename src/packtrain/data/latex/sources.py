"""files of one paper → the main one → \\input, \\include and \\subfile in their places → one LaTeX text

Several files may hold \\documentclass; `main_file` ranks them. A missing target is counted, the paper stays.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping

from packtrain.data.latex.comments import without_comments

SUFFIXES = (".tex", ".ltx", ".latex", ".txt", ".sty", ".cls", ".bbl")
MAINS = (".tex", ".ltx", ".latex", ".txt", "")
CLASS = re.compile(r"^[^%\n]*?\\document(?:class|style)\s*(?:\[[^\]]*\])?\s*\{([^}\n]*)\}", re.MULTILINE)
BEGIN = re.compile(r"^[^%\n]*?\\begin\s*\{document\}", re.MULTILINE)
TITLE = re.compile(r"^[^%\n]*?\\(?:maketitle|title|begin\s*\{abstract\}|abstract)", re.MULTILINE)
SECTION = re.compile(r"^[^%\n]*?\\(?:section|chapter)\b", re.MULTILINE)
PLAIN_TEX = re.compile(
    r"^[^%\n]*?\\(?:magnification|documentstyle|input\s+amstex|bye|beginsection|centerline)", re.MULTILINE
)
INPUT = re.compile(
    r"\\(?:(?:input|include|subfile|subfileinclude|InputIfFileExists|loadglsentries)\s*\{([^{}\n]{1,300})\}"
    r"|(?:sub)?import\*?\s*\{([^{}\n]{0,300})\}\s*\{([^{}\n]{1,300})\}"
    r"|input\s+([^\s{}\\%]{1,300}))"
)
USE = re.compile(r"\\usepackage\s*(?:\[[^\]]*\])?\s*\{([^{}]{1,500})\}")
DOCUMENT, DOCUMENT_END = re.compile(r"\\begin\s*\{document\}"), re.compile(r"\\end\s*\{document\}")
GOOD_NAMES = ("ms", "main", "paper", "article", "manuscript", "arxiv", "root", "thesis")
DEPTH = 12
GROWTH, LEAST = 4, 1 << 20  # what is put together may be so many times as long as the files, at least so long
STYLE_LARGEST = 1 << 15


def is_source(name: str) -> bool:
    """Whether a member of an archive may be part of the text; not the ._ files that macOS adds."""
    base = name.rpartition("/")[2]
    return base.lower().endswith(SUFFIXES) and not base.startswith("._") and "__MACOSX" not in name


def main_file(files: Mapping[str, str], paper: str = "", told: str | None = None) -> str | None:
    """The name of the file to begin with: what 00README tells, else the best of those with \\documentclass.

    For a main file: \\begin{document}, a title or abstract, sections, a .bbl of its name, a good name, included by no
    other, standing at the top. Against: standalone figures, letters, posters, parts (subfiles), supplements.
    """
    if told in files:
        return told
    names = [name for name in files if name.lower().endswith(MAINS) and not name.lower().endswith(".bbl")]
    included = {_found(target, name, files) for name in names for target in _targets(files[name])}
    scores = {name: _score(name, files, name in included, paper) for name in names}
    best = max(sorted(scores), key=lambda name: (scores[name], len(files[name])), default=None)
    return best if best is not None and scores[best] > 0 else None


def _score(name: str, files: Mapping[str, str], included: bool, paper: str) -> float:
    text = files[name]
    base = posixpath.splitext(posixpath.basename(name))[0].lower()
    score = 0.0
    if found := CLASS.search(text):
        score += 10
        if re.search(r"standalone|subfiles|letter|beamer|poster|minimal", found[1]):
            score -= 6
    elif PLAIN_TEX.search(text):
        score += 3
    score += 5 * bool(BEGIN.search(text)) + 2 * bool(TITLE.search(text)) + 2 * bool(SECTION.search(text))
    score += 2 * (f"{posixpath.splitext(name)[0]}.bbl" in files)
    score += 2 * (base in GOOD_NAMES or (paper != "" and base == paper.lower()))
    score -= 4 * included + 0.5 * name.count("/")
    score -= 3 * bool(re.search(r"supp|appendi|response|rebuttal|cover|letter|template|sample|old|figure", base))
    return score


def assembled(files: Mapping[str, str], main: str, missed: Counter[str]) -> str:
    """The main file with all it includes, comments gone; `missed` counts targets that are not there."""
    left = [max(GROWTH * sum(map(len, files.values())), LEAST)]
    clean: dict[str, str] = {}

    def read(name: str, chain: tuple[str, ...]) -> str:
        if name not in clean:
            clean[name] = without_comments(files[name].replace("\r\n", "\n").replace("\r", "\n"))[0]
        text = clean[name]
        if chain:
            text = _body(text)  # a subfile brings a preamble of its own
        left[0] -= len(text) + 1000
        if "\\" not in text:
            return text

        def include(match: re.Match[str]) -> str:
            folder, plain = (match[2] or ""), match[1] or match[3] or match[4]
            target = _found(posixpath.join(folder, plain.strip().strip('"')), name, files)
            if target is None:
                missed["missing \\input"] += 1
                return ""
            if target in chain or target == name or len(chain) >= DEPTH or left[0] < 0:
                missed["\\input without end"] += 1
                return ""
            return read(target, (*chain, name)).strip("\n") + "\n"

        return INPUT.sub(include, text)

    text = read(main, ())
    return _own_styles(text, files) + text


def _body(text: str) -> str:
    """What stands between the first \\begin{document} and the last \\end{document}; all of it without both."""
    begin = DOCUMENT.search(text)
    ends = [match.start() for match in DOCUMENT_END.finditer(text, begin.end())] if begin else []
    return text[begin.end() : ends[-1]] if begin and ends else text


def _own_styles(text: str, files: Mapping[str, str]) -> str:
    """The authors' own small packages, for their macros; not the style of a journal or conference."""
    styles: list[str] = []
    for match in USE.finditer(text[: 1 << 18]):
        for package in match[1].split(","):
            style = files.get(f"{package.strip()}.sty", "")
            if style and len(style) <= STYLE_LARGEST and "\\ProvidesPackage" not in style and "\\newcommand" in style:
                styles.append(without_comments(style)[0])
    return "\n".join([*styles, ""]) if styles else ""


def _targets(text: str) -> list[str]:
    return [a or posixpath.join(b, c or d) for a, b, c, d in INPUT.findall(text)]


def _found(target: str, origin: str, files: Mapping[str, str]) -> str | None:
    """The file that an \\input means: as named or with .tex, from the top or from its includer's folder."""
    target = target.strip()
    for folder in ("", posixpath.dirname(origin)):
        path = posixpath.normpath(posixpath.join(folder, target))
        for name in (path, f"{path}.tex", f"{path}.ltx", f"{path}.latex"):
            if name in files:
                return name
    return None
