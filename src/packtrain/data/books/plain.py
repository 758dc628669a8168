"""HTML or Markdown of a book → its paragraphs as plain text; torn paragraphs and runs of blank lines mended"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from packtrain.data.words import words

BLOCKS = words(
    """
    p div h1 h2 h3 h4 h5 h6 li ul ol dl dt dd tr table blockquote section article header footer hr pre center
    """
)
HIDDEN = frozenset(["script", "style", "head", "title", "noscript", "template", "svg"])
MARKUP = re.compile(r"<(?:!doctype\s+html|html|head|body|p|div)\b", re.IGNORECASE)
SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
BLANKS = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
HEADING = re.compile(r"^#{1,6}[ \t]+(?:(?:Title|Author|Year):[ \t]*)?", re.MULTILINE)
RULE = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.MULTILINE)
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])")
ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!-])")


class _Text(HTMLParser):
    """Gathers text; blocks end lines. Nothing hidden, no comments."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = self.kept = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in HIDDEN:
            self.hidden += 1
        elif tag in BLOCKS:
            self.pieces.append("\n\n" if tag not in ("tr", "li", "dt", "dd") else "\n")
        elif tag == "br":
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        self.kept += tag == "pre"
        if tag == "body":  # whatever was left open in the head
            self.hidden = 0

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag not in HIDDEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in HIDDEN:
            self.hidden = max(self.hidden - 1, 0)
        elif tag in BLOCKS:
            self.pieces.append("\n\n" if tag not in ("tr", "li", "dt", "dd") else "\n")
        self.kept -= tag == "pre"

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data if self.kept > 0 else SPACES.sub(" ", data))


def is_html(text: str) -> bool:
    return MARKUP.search(text[:2000]) is not None


def from_html(text: str) -> str:
    parser = _Text()
    try:
        parser.feed(text)
        parser.close()
    except (AssertionError, ValueError):  # what is no HTML at all
        pass
    lines = (line.strip(" ") for line in "".join(parser.pieces).split("\n"))
    return tidy(BLANKS.sub("\n\n", "\n".join(lines)))


def from_markdown(text: str) -> str:
    """Headings, emphasis, rulers and escapes as plain text."""
    text = RULE.sub("", HEADING.sub("", text))
    return tidy(ESCAPED.sub(r"\1", EMPHASIS.sub(r"\2", text)))


def tidy(text: str) -> str:
    """One kind of line end, no blanks at line ends, at most two blank lines in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "").replace("\x00", "").replace("\f", "\n")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return BLANKS.sub("\n\n\n", text).strip("\n") + "\n" if text.strip() else ""
