# ruff: noqa: E501  (tables of cases)
"""Wikitext, dumps, LaTeX and archives of any content: no error, no endless work, nothing left that should be gone."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from packtrain.data.books.gutenberg import without_boilerplate
from packtrain.data.books.plain import from_html, from_markdown
from packtrain.data.domains import arxiv, books, github, stack_exchange, wikipedia
from packtrain.data.latex.comments import without_comments
from packtrain.data.latex.macros import GROWTH, LEAST, Expander
from packtrain.data.latex.sources import assembled, main_file
from packtrain.data.latex.trim import trimmed
from packtrain.data.step import Skips, Tally
from packtrain.data.wiki.dump import pages
from packtrain.data.wiki.prose import Prose
from tests.data.fuzzing import hunt, soup, torn, try_some

WIKI = """[[ ]] [ ] {{ }} {| |} |- || | ! !! ' '' ''' ' = == === <ref <ref> <ref/> </ref> <!-- --> <nowiki>
</nowiki> <math> </math> <br/> <div> </div> <gallery> </gallery> <pre> </pre> <code> &nbsp; &#91; &#0; &lt; &amp; -{ }- :
* # ; ---- __TOC__ [[Category: [[File: [[Datei: [[:Category: [[de: [http://x ] {{lang|fr| {{convert|5|km}} {{"| =Notes=
== References == #REDIRECT (;) ( ) , text Category:"""
WIKITEXT = [*WIKI.split(), "\n", "\n\n", " ", "\t", "\x00", "\x001\x00", "\ud800"]
LATEX = r"""\newcommand \renewcommand \providecommand \def \let \DeclareMathOperator \NewDocumentCommand \a \b \c \x {\a} {\b}
{ } [ ] [1] [2] [x] #1 #2 ## # % \% \\ \verb| \verb+ \begin{verbatim} \end{verbatim} \begin{comment} \end{comment}
\iffalse \else \fi \iftrue \section{A} \section \chapter* \begin{document} \end{document} \appendix \bibliography{x} \bibliography
\begin{thebibliography} \end{thebibliography} \input{a} \input a \include{b} \import{x}{y} \usepackage{s} \xspace \@ ^ _
$ & \hat \frac \url{ \url{%} \begin{abstract} \end{abstract} \maketitle \documentclass{article} \endinput {\a\a} m O{x} text"""
LATEX_TOKENS = [*LATEX.split(), "\n", "\n\n", " ", "{\\a\\a}", "\\def\\a{\\a\\a}", "\\newcommand{\\b}[1]{#1#1}", "\r\n"]
TAGS = """<mediawiki> </mediawiki> <page> </page> <title> </title> T <ns>0</ns> <id>1</id> <revision> </revision> <text> <text/>
</text> <redirect/> <!DOCTYPE <!ENTITY &lt; &amp; &#x41; &#99999999; &lol; <![CDATA[ ]]> <siteinfo> </text></revision></page>"""
XML = [*TAGS.split(), '<namespace key="6">Datei</namespace>', '<text xml:space="preserve">', "\n"]
SOUND = (
    '<mediawiki><siteinfo><namespaces><namespace key="6">Datei</namespace></namespaces></siteinfo>\n'
    + "".join(
        f"<page><title>T{i}</title><ns>0</ns><id>{i}</id><revision><text>{'prose &lt;b&gt; [[x]] ' * 20}</text></revision></page>\n"
        for i in range(5)
    )
    + "</mediawiki>"
).encode()  # fmt: skip


ROWS = [
    '<row Id="1" PostTypeId="1" Title="T" Body="&lt;p&gt;q&lt;/p&gt;" Score="2" />', "<row ", "<row\n", "/>", ">", "'", '"',
    *(f'<row Id="{i}" PostTypeId="2" ParentId="1" Score="{i - 5}" Body="a{i}" />' for i in range(2, 8)), 'Id="1"', 'Id="-9"',
    'Score="99999999999999999999"', 'Score="-3"', 'Score=""', 'PostTypeId="1"', 'PostTypeId="2"', 'ParentId="1"', "&lol;", "&#0;",
    "&#x110000;", "&lt;pre&gt;&lt;code&gt;", "&lt;/code&gt;", "&lt;table&gt;", "&lt;li&gt;", "&lt;!--", "<!--", "-->", "<?xml ",
    'Body="', "<!DOCTYPE x [<!ENTITY lol 'l'>]>", "<posts>", "</posts>", "\r\n", "\ufeff", "\x00", "\ud800",
]  # fmt: skip
POSTS = (
    "\ufeff<?xml version='1.0' encoding='utf-8'?>\r\n<posts>\r\n" + "\r\n".join(ROWS[:1] + ROWS[7:13]) + "</posts>"
).encode()


PAPER = {"main.tex": "\\documentclass{article}\\begin{document}\\section{A}\\input{b}", "b.tex": "text"}
CODE = {"x/LICENSE": "MIT License\n\nPermission is hereby granted, free of charge", "x/a.py": "# Copyright\nprint(1)\n" * 9,
        "x/b.ipynb": '{"cells": [{"cell_type": "code", "source": ["print(2)"]}]}'}  # fmt: skip


def _tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("11.txt", "*** START OF THE PROJECT GUTENBERG EBOOK A ***\n" + "word " * 500)
        archive.writestr("11.htm", "<html><body><p>" + "word " * 500 + "</p></body></html>")
    return buffer.getvalue()


def _check_wikitext(text: str) -> None:
    prose = Prose(skip_sections=frozenset({"references"}))(text)
    assert "\x00" not in prose
    if not re.search(r"(?i)<(?:nowiki|math|chem|ce|pre|code|source|syntaxhighlight)", text):
        assert "[[" not in prose and "{{" not in prose
    Prose("flatten")(text)


def _check_page_bytes(data: bytes) -> None:
    skips = Skips()
    found = list(pages(iter([data[i : i + 97] for i in range(0, len(data), 97)]), skips, 1 << 16))
    assert all(len(page.text) <= 1 << 16 for page in found)
    assert found or skips.counts


def _run(domain: Any, name: str, data: bytes, **wanted: Any) -> None:
    """All of a domain but its steps over the whole corpus, on a file of these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        parameters, skips = domain.Parameters(**wanted), Skips()
        documents = list(domain.read(path, name, parameters, skips))
        for step in domain.steps(parameters):
            if not hasattr(step, "collect"):
                documents = list(step(iter(documents), Tally(step.name)))
        for document in documents:
            document.text.encode("utf-8")
        assert [p.name for p in Path(folder).iterdir()] == [name]


def _check_dump(data: bytes) -> None:
    _run(wikipedia, "enwiki.xml.bz2", data)


def _check_latex(text: str) -> None:
    without_comments(text)
    expander = Expander()
    out = expander(text)
    assert len(out) <= 2 * max(GROWTH * len(text), LEAST)
    body = trimmed(out).text
    assert len(body) <= len(out) + 1
    files = {"main.tex": text, "a.tex": text[::2], "x/y.tex": text[1:], "s.sty": text[:99]}
    main = main_file(files)
    if main:
        assembled(files, main, Counter())


def _check_eprint(data: bytes) -> None:
    _run(arxiv, "1234.56789.tar.gz", data)


def _check_posts(data: bytes) -> None:
    _run(stack_exchange, "beer.stackexchange.com.xml", data, sites="all")


def _check_repository(data: bytes) -> None:
    _run(github, "thing-1.0.tar.gz", data)


def _check_zip(data: bytes) -> None:
    _run(books, "11.zip", data)


def _check_book(text: str) -> None:
    without_boilerplate(text)
    from_html(text)
    from_markdown(text)


xml_soup = soup(XML).map(lambda text: text.encode("utf-8", "surrogatepass"))
PATHS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "wikitext": (soup(WIKITEXT), _check_wikitext),
    "pages": (st.one_of(xml_soup, torn(SOUND)), _check_page_bytes),
    "dump": (
        st.one_of(torn(bz2.compress(SOUND)), torn(SOUND).map(bz2.compress), xml_soup, torn(SOUND.decode().encode("utf-16"))),
        _check_dump,
    ),
    "latex": (soup(LATEX_TOKENS), _check_latex),
    "e-print": (st.one_of(torn(gzip.compress(_tar(PAPER))), torn(_tar(PAPER)), torn(_tar(PAPER)).map(gzip.compress)), _check_eprint),
    "posts": (
        st.one_of(soup(ROWS).map(lambda text: text.encode("utf-8", "surrogatepass")), torn(POSTS),
                  torn(POSTS.decode().encode("utf-16"))), _check_posts,
    ),
    "repository": (st.one_of(torn(gzip.compress(_tar(CODE))), torn(_tar(CODE))), _check_repository),
    "zip": (torn(_zip()), _check_zip),
    "book": (soup(["<p>", "<", ">", "</p>", "<script>", "&amp;", "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n",
                   "*** END OF", "Title: x\n", "Project Gutenberg", "\n", "# ", "**", "_", "[Illustration", "]", "a "]), _check_book),
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_few_hundred_soups_break_nothing(path: str) -> None:
    strategy, check = PATHS[path]
    try_some(strategy, check, 60)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_a_hunt_breaks_nothing(path: str) -> None:
    strategy, check = PATHS[path]
    tried = hunt(strategy, check)
    print(f"{path}: {tried} tried")
    assert tried > 0
