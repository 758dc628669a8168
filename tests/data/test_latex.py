# ruff: noqa: E501  (tables of cases)
"""LaTeX without comments, with the authors' macros in line, from its first section to its bibliography"""

from __future__ import annotations

import time
from collections import Counter

import pytest

from packtrain.data.latex.comments import without_comments
from packtrain.data.latex.macros import Expander
from packtrain.data.latex.sources import assembled, main_file
from packtrain.data.latex.trim import trimmed

COMMENTS = {
    "a whole line": ("a\n  % gone\nb", "a\nb"),
    "the end of a line joins as TeX reads it": ("one% gone\n  two % gone\nthree", "onetwo three"),
    "a paragraph stays": ("a % gone\n\nb", "a \n\nb"),
    "a percentage": ("5\\% of\\\\% gone\n x", "5\\% of\\\\x"),
    "verbatim": ("\\begin{verbatim}\n% stays\n\\end{verbatim} % gone\nx", "\\begin{verbatim}\n% stays\n\\end{verbatim} x"),
    "listings with options": ("\\begin{lstlisting}[language=x]\n% stays\n\\end{lstlisting}\n", "\\begin{lstlisting}[language=x]\n% stays\n\\end{lstlisting}\n"),
    "verb": ("\\verb|%a| and \\verb+%+ % gone\n", "\\verb|%a| and \\verb+%+ "),
    "url": ("\\url{http://x/a%20b} % gone\n", "\\url{http://x/a%20b} "),
    "comment environment": ("a\\begin{comment}\nb\n\\end{comment}c", "ac"),
    "iffalse": ("a\\iffalse b \\ifx c\\fi d \\fi e", "a e"),
    "iffalse else": ("a\\iffalse b \\else c\\fi d", "a c d"),
    "unclosed things stay": ("\\begin{verbatim} a % gone\n\\begin{comment} b", "\\begin{verbatim} a \\begin{comment} b"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMENTS)
def test_comments_go_and_what_only_looks_like_one_stays(name: str) -> None:
    latex, clean = COMMENTS[name]
    assert without_comments(latex)[0] == clean


MACROS = {
    "without arguments": (r"\newcommand{\R}{\mathbb{R}}$x\in\R$, $\R^n$", r"$x\in\mathbb{R}$, $\mathbb{R}^n$"),
    "unbraced name, star, def": (r"\newcommand*\a{A}\def\b{B}\gdef\c{C}\a\b\c", "ABC"),
    "with arguments": (r"\newcommand{\f}[2]{#2 over #1}\f{x}{y} \f ab", "y over x b over a"),
    "optional argument": (r"\newcommand{\n}[2][2]{|#2|_{#1}}\n{x} \n[p]{y}", "|x|_{2} |y|_{p}"),
    "def with arguments": (r"\def\f#1#2{#2#1}\f{x}{y}", "yx"),
    "nested": (r"\newcommand{\a}{A}\newcommand{\b}[1]{\a(#1)}\newcommand{\c}{\b{\a}}\c", "A(A)"),
    "operators": (r"\DeclareMathOperator{\tr}{tr}\DeclareMathOperator*{\argmax}{arg\,max}$\tr A$ $\argmax_x$",
                  r"$\operatorname{tr}A$ $\operatorname*{arg\,max}_x$"),
    "xspace": (r"\newcommand{\ours}{\textsc{Ours}\xspace}\ours is, \ours, \ours{} x", r"\textsc{Ours} is, \textsc{Ours}, \textsc{Ours} x"),
    "braces end a name": (r"\newcommand{\x}{X}\x{} y \x\ z", r"X y X\ z"),
    "names do not grow together": (r"\newcommand{\al}{\alpha}$\al x$ $\al{}x$ $\cdot\bb$", r"$\alpha x$ $\alpha x$ $\cdot\bb$"),
    "a letter after a command": (r"\newcommand{\x}{x}$\alpha\x$", r"$\alpha x$"),
    "as the argument of an accent": (r"\newcommand{\v}{\mathbf{v}}$\hat\v$ $x^\v$ $\hat{\v}$", r"$\hat{\mathbf{v}}$ $x^{\mathbf{v}}$ $\hat{\mathbf{v}}$"),
    "let": (r"\newcommand{\a}{A}\let\b\a\renewcommand{\a}{C}\a\b", "CA"),
    "a later definition counts from there on": (r"\def\a{1}\a\def\a{2}\a", "12"),
    "provide does not replace": (r"\newcommand{\a}{1}\providecommand{\a}{2}\a", "1"),
    "document commands": (r"\NewDocumentCommand{\f}{O{z} m}{#2-#1}\f{x} \f[y]{x}", "x-z x-y"),
    "environments as macros": (r"\newcommand{\be}{\begin{equation}}\newcommand{\ee}{\end{equation}}\be x \ee", r"\begin{equation}x \end{equation}"),
    "programs stay with their definition": (r"\def\x{\@ifnextchar[{a}{b}}\newcommand{\y}{\ifmmode a\fi}\x \y",
                                            r"\def\x{\@ifnextchar[{a}{b}}\newcommand{\y}{\ifmmode a\fi}\x \y"),
    "the structure is not redefined": (r"\renewcommand{\section}[1]{x}\section{A}", r"\renewcommand{\section}[1]{x}\section{A}"),
    "verbatim is not expanded": (r"\newcommand{\a}{A}\verb|\a| \begin{verbatim}\a\end{verbatim}\a", r"\verb|\a| \begin{verbatim}\a\end{verbatim}A"),
    "delimited parameters stay": (r"\def\f#1.{x}\f a.", r"\def\f#1.{x}\f a."),
    "an argument is missing": (r"\newcommand{\f}[1]{<#1>}a {\f} b", r"a {\f} b"),
    "a torn definition stays": (r"\newcommand{\f", r"\newcommand{\f"),
    "arguments with braces and escapes": (r"\newcommand{\f}[1]{<#1>}\f{a{b}\}c}", r"<a{b}\}c>"),
    "itself in its body": (r"\newcommand{\a}{x\a}y", "y"),
}  # fmt: skip


@pytest.mark.parametrize("name", MACROS)
def test_macros_are_expanded_as_tex_would(name: str) -> None:
    latex, expanded = MACROS[name]
    assert Expander()(latex) == expanded


def test_a_macro_that_calls_itself_ends() -> None:
    expander = Expander()
    text = expander(r"\def\a{x\a}\a end")
    assert len(text) < 200
    assert text.endswith("end")
    assert expander.left["uses beyond the limits"] == 1


NAMES = [f"\\{letter}" for letter in "abcdefghijklmnopqrst"]


def test_a_macro_bomb_costs_no_more_than_a_paper() -> None:
    tens = [f"\\def\\{new}{{{old * 10}}}" for old, new in zip(NAMES, "bcdefghijklmnopqrstu", strict=False)]
    bomb = "\\def\\a{lol}" + "".join(tens) + "\\u rest"
    start = time.process_time()
    expander = Expander()
    assert len(expander(bomb)) < 4 << 20
    assert expander.limited
    assert time.process_time() - start < 5


@pytest.mark.parametrize("torn", ["{" * 50_000, "\\newcommand{\\a" * 5_000, "\\begin{verbatim}" * 4_000, "\\verb|" * 10_000, "[" * 50_000,
                                  "\\iffalse" * 7_000, "%" * 60_000, "\\url{" * 10_000, "\\def\\a#1{#1#1}" + "\\a{" * 20_000,
                                  "\\begin{thebibliography}" * 3_000, "\\begin{comment}" * 4_000, "\\newcommand\\a[1]{#1}" + "\\a{" * 10_000 + "}" * 10_000])  # fmt: skip
def test_torn_latex_costs_no_more_than_its_length(torn: str) -> None:
    start = time.process_time()
    trimmed(Expander()(without_comments(torn)[0]))
    assert time.process_time() - start < 3


BODY = r"\documentclass{article}\title{T}\newcommand{\s}{\section{no}}\begin{document}\maketitle\begin{abstract}A\end{abstract} intro "


@pytest.mark.parametrize(
    ("latex", "text", "begin"),
    [
        (
            BODY + r"\section{One} a \section*{Two} b \bibliographystyle{x}\bibliography{y}\end{document} after",
            r"\section{One} a \section*{Two} b",
            "section",
        ),
        (BODY + r"\chapter{One} a \appendix \section{B} b\end{document}", r"\chapter{One} a", "section"),
        (
            BODY + r"\section{One} a \begin{thebibliography}{9}\bibitem{x} y\end{thebibliography} b \end{document}",
            r"\section{One} a  b",
            "section",
        ),
        (BODY + r"\section{One} a \section*{Appendix A} b \end{document}", r"\section{One} a", "section"),
        (BODY + r"\section[short]{One} a \printbibliography[title=x] b", r"\section[short]{One} a  b", "section"),
        (BODY + r"just a letter \end{document}", "intro just a letter", "abstract"),
        (r"\begin{document}\title{x}\maketitle text\end{document}", "text", "title"),
        (r"\begin{document} text", "text", "document"),
        (r"no marks at all", "no marks at all", None),
        (r"\begin{document}\begin{verbatim}\section{x}\end{verbatim} \section{y} z", r"\section{y} z", "section"),
    ],
)
def test_a_paper_goes_from_its_first_section_to_its_bibliography(latex: str, text: str, begin: str | None) -> None:
    result = trimmed(latex)
    assert (result.text.strip(), result.begin) == (text, begin)


MAIN = r"\documentclass{article}\begin{document}\maketitle\section{A}\input{b}\end{document}"


def test_the_main_file_is_found_among_several() -> None:
    files = {"figure.tex": r"\documentclass{standalone}\begin{document}x\end{document}", "z_paper.tex": MAIN, "b.tex": "text",
             "supplement.tex": r"\documentclass{article}\begin{document}\section{S}" + "x" * 9999, "response.tex": r"\documentclass{letter}\begin{document}"}  # fmt: skip
    assert main_file(files) == "z_paper.tex"
    assert main_file(files, told="supplement.tex") == "supplement.tex"
    assert main_file({"b.tex": "text"}) is None
    assert main_file({"old.tex": MAIN, "ms.tex": MAIN, "ms.bbl": ""}) == "ms.tex"
    assert main_file({"% \\documentclass": "", "a.tex": "% \\documentclass{article}", "b.tex": MAIN}) == "b.tex"
    sub = r"\documentclass[main]{subfiles}\begin{document}\section{A} x\end{document}"
    assert main_file({"main.tex": MAIN + r"\subfile{sub}", "sub.tex": sub}) == "main.tex"


def test_inputs_are_put_in_their_places() -> None:
    files = {
        "main.tex": "a \\input{sec/b} \\include{c.tex} % \\input{no}\n\\subfile{s} \\input d \\import{sec/}{e}",
        "sec/b.tex": "B \\input{e}", "sec/e.tex": "E", "c.tex": "C", "d.tex": "D", "no.tex": "NO",
        "s.tex": "\\documentclass{subfiles}\\begin{document}S\\end{document}",
    }  # fmt: skip
    missed: Counter[str] = Counter()
    assert assembled(files, "main.tex", missed).split() == ["a", "B", "E", "C", "S", "D", "E"]
    assert not missed


def test_missing_and_circular_inputs_are_counted_and_the_paper_stays() -> None:
    files = {"main.tex": "a \\input{main} \\input{x} \\input{gone} b", "x.tex": "X \\input{y}", "y.tex": "Y \\input{x}"}
    missed: Counter[str] = Counter()
    assert assembled(files, "main.tex", missed).split() == ["a", "X", "Y", "b"]
    assert missed == {"missing \\input": 1, "\\input without end": 2}


def test_inputs_that_multiply_end() -> None:
    files = {f"{i}.tex": f"\\input{{{i + 1}}}" * 100 for i in range(12)} | {"12.tex": "x"}
    start = time.process_time()
    assembled(files, "0.tex", Counter())
    mutual = {"main.tex": "\\import{x}{y}" * 3000, "x/y.tex": "\\input{z}" * 3000, "z.tex": "\\import{x}{y}" * 3000}
    assembled(mutual, "main.tex", Counter())
    begun = {"main.tex": "\\import{x}{y}" * 30, "x/y.tex": "\\begin{document}" * 3000 + "\\import{x}{z}" * 30}
    assembled(begun | {"x/z.tex": begun["x/y.tex"]}, "main.tex", Counter())  # found by a hunt: 8 seconds
    assert time.process_time() - start < 4


def test_an_authors_own_style_gives_its_macros_and_a_journals_does_not() -> None:
    files = {"main.tex": "\\usepackage{mine,journal}\\begin{document}\\section{A}\\me", "mine.sty": "\\newcommand{\\me}{ME}",
             "journal.sty": "\\ProvidesPackage{journal}\\newcommand{\\me}{NO}"}  # fmt: skip
    assert trimmed(Expander()(assembled(files, "main.tex", Counter()))).text == "\\section{A}ME\n"
