"""the HTML of a post → plain text: paragraphs apart, lists with their marks, quotes behind >, code in ``` fences

A post is HTML that the site made of Markdown, so one regular expression cuts it into tags and text; a tag that is
not closed or not known only loses its brackets. Pictures are left out, a link is its text, formulas stay as TeX.
"""

from __future__ import annotations

import html
import re

TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[^<>\"']|\"[^\"<>]{0,4000}\"|'[^'<>]{0,4000}')*+)>", re.S
)
CONTROL = {c: None for c in range(32) if c not in (9, 10)} | {127: None, 0xFEFF: None}
APART = {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "hr", "dl", "ul", "ol", "pre"}
LINES = {"br", "li", "tr", "dt", "dd"}
HIDDEN = {"script", "style"}
BASE = re.compile(
    r"(?:[\d)]|(?<![^\W\d_])[^\W\d_])\Z"
)  # a number, a bracket, one letter; behind a word it is a footnote
POWER = re.compile(r"[-−+]?\d{1,4}</sup>")  # 10<sup>6</sup> is not 106


class _Writer:
    """Text whose line breaks are written once something follows; each line stands behind the open quotes and lists."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.prefixes: list[str] = []
        self.before: list[str] = []  # the prefixes of the line above
        self.breaks = 0
        self.fresh = True  # nothing stands in this line yet

    def apart(self, breaks: int) -> None:
        self.breaks = max(self.breaks, breaks)

    def write(self, text: str, first: str | None = None) -> None:
        """`first` stands before the text instead of the innermost prefix: a list's mark."""
        if self.breaks or not self.out:
            prefix = "".join(self.prefixes)
            if self.out:  # a line between two quoted ones is quoted, one at a quote's edge is not
                shared = "".join(a for a, b in zip(self.before, self.prefixes, strict=False) if a == b)
                self.out.append("\n" + (f"{shared.rstrip()}\n" if self.breaks > 1 else ""))
            self.before = list(self.prefixes)
            self.out.append("".join(self.prefixes[:-1]) + first if first is not None else prefix)
            self.breaks, self.fresh = 0, True
        self.out.append(text)
        self.fresh = self.fresh and not text

    def last(self) -> str:
        return next((piece[-1] for piece in reversed(self.out) if piece), "\n")


def to_text(source: str) -> str:
    """`<p>a &amp; b</p><pre><code>x = 1</code></pre>` → "a & b\\n\\n```\\nx = 1\\n```"."""
    writer = _Writer()
    lists: list[int | None] = []  # of each open list the next number, None for bullets
    mark: str | None = None  # of the list's item that is about to be written
    code: list[str] | None = None  # inside <pre>
    hidden: str | None = None
    position = 0

    def words(text: str) -> None:
        nonlocal mark
        if hidden:
            return
        if code is not None:
            code.append(html.unescape(text))
            return
        text = re.sub(r"\s+", " ", html.unescape(text).translate(CONTROL))
        if writer.breaks or writer.fresh or mark is not None or writer.last() in " \n":
            text = text.lstrip(" ")
        if text:
            writer.write(text, mark)
            mark = None

    for tag in TAG.finditer(source):
        if tag.start() > position:
            words(source[position : tag.start()])
        position = tag.end()
        name = (tag[2] or "").lower()
        closing = tag[1] == "/"
        if hidden:
            hidden = None if closing and name == hidden else hidden
        elif code is not None:
            if name == "pre" and closing:
                _fence(writer, "".join(code), mark)
                code, mark = None, None
            elif name == "br":
                code.append("\n")
        elif name in HIDDEN:
            hidden = None if closing else name
        elif name == "pre":
            code = None if closing else []
            writer.apart(2)
        elif name == "code":
            words("`")
        elif (
            name == "sup"
            and not closing
            and POWER.match(source, position)
            and BASE.search("".join(writer.out[-2:])[-2:])
        ):
            words("^")
        elif name in ("td", "th") and not closing and not (writer.fresh or writer.breaks):
            writer.write(" | ")
        elif name == "p" and mark is not None:
            pass  # an item's first paragraph stands beside its mark
        elif name in APART or name in LINES:
            writer.apart(1 if name in LINES or (lists and name in ("ul", "ol")) else 2)
            if name == "blockquote":
                mark = None if closing else mark
                _nest(writer, "> ", closing)
            elif name in ("ul", "ol"):
                if not closing:
                    lists.append(1 if name == "ol" else None)
                elif lists:
                    lists.pop()
            elif name == "li" and lists:
                if not closing:
                    number = lists[-1]
                    lists[-1] = number and number + 1
                    mark = "- " if number is None else f"{number}. "
                else:
                    mark, writer.breaks = None, 1  # items stand close, paragraphs in them or not
                _nest(writer, " " * len(mark or "  "), closing)
    words(source[position:])
    if code is not None:
        _fence(writer, "".join(code), mark)
    return "\n".join(line.rstrip() for line in "".join(writer.out).split("\n")).strip("\n")


def _nest(writer: _Writer, prefix: str, closing: bool) -> None:
    """Opens a quote or an item, or closes the innermost of its kind where one is open."""
    if not closing:
        writer.prefixes.append(prefix)
        return
    for i in range(len(writer.prefixes) - 1, -1, -1):
        if (writer.prefixes[i] == "> ") == (prefix == "> "):
            del writer.prefixes[i]
            return


def _fence(writer: _Writer, text: str, mark: str | None) -> None:
    """A block of code, its white space untouched, in a fence longer than any in it."""
    lines = text.translate(CONTROL).removeprefix("\n").rstrip().split("\n")
    if lines == [""]:
        return
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    writer.write(fence, mark)
    for line in (*lines, fence):
        writer.apart(1)
        writer.write(line)
    writer.apart(2)
