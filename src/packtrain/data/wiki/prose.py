"""wikitext → comments → code and formulas set aside → references → templates → tables → links → markup → lines of prose

One pass of a regular expression or of a stack for each kind of markup, in time linear in the text whatever it holds.
Headings stay as lines; sections that hold only links or sources, and those left empty, go with their headings.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field

from packtrain.data.wiki.lines import prose_lines
from packtrain.data.wiki.names import CATEGORIES, FILES
from packtrain.data.wiki.spans import closed_spans, replace_spans
from packtrain.data.wiki.tables import flat_table
from packtrain.data.wiki.templates import without_templates

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# The literal "<" or newline in front lets the search run at the speed of memchr.
ASIDES = "nowiki|math|chem|ce|pre|code|syntaxhighlight|source"
ASIDE = re.compile(rf"<(?:((?i:{ASIDES})\b[^<>]*)|/(?i:{ASIDES})\s*)>")
FORMULA = ("<math", "<chem", "<ce")
ELEMENTS = (
    "ref|references|gallery|timeline|score|imagemap|graph|templatedata|mapframe|maplink|hiero|includeonly|inputbox"
    "|categorytree|ol-map|templatestyles"
)
ELEMENT = re.compile(rf"<(?:((?i:{ELEMENTS})\b[^<>]*)|/(?i:{ELEMENTS})\s*)>")
TABLE = re.compile(r"\n[ \t]*(?:([:*#]*[ \t]*\{\|)|\|\}(?!\}))")
SIMPLE_LINK = re.compile(r"\[\[(?:[^|\[\]\n:]*\|([^|\[\]\n]*)|([^|\[\]\n:]*))\]\]")
LINK = re.compile(r"(\[\[)|\]\](?!\](?!\]))")  # "]]]" ends the link with its last two
OPEN_LINK = re.compile(r"\[\[([^\[\]\n|:]{1,60}):[^\n]*")
EXTERNAL = re.compile(r"\[(?:(?:https?|ftp)?:?//|mailto:)[^\s\[\]<>]+(?:[ \t]+([^\[\]\n]*))?\]", re.IGNORECASE)
OTHER_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z-]{1,12})?|simple)$")
VARIANT = re.compile(r"-\{(?:[^{}|\n]*\|)?([^{}\n]*)\}-")
BREAK = re.compile(r"<(?:br|hr|/?p|/?div|/?li|/?tr|/?blockquote|/?center|/?h[1-6]|/?poem)\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
QUOTES = re.compile(r"''+")
# l + bold or italic, and four in a row, hold an apostrophe
APOSTROPHE = re.compile(r"'''(?:(?!')(?<=[\s(«“„][^\W\d_]''')|'(?!')(?<!'''''))")
SWITCH = re.compile(r"__[^\W\d_]{3,30}__")
CONTROL = re.compile("[\x01-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u2060\ufeff]")
PAIRS = re.compile(r"\[{2,}|\]{2,}|\{{2,}|\}{2,}")
DOUBLED = re.compile(r"(\[|\]|\{|\})\1+")  # what stood apart until something between them went
HOLLOW = re.compile(r"[(（]\s*(?:[,;:–-]\s*)*[)）]")
OPENING = re.compile(r"\(\s*[,;:](?:\s*[,;:])*\s*(?=[^\s,;:)])")
OTHER_SPACE = re.compile("[\t\xa0\u2009\u202f]")
CLOSING = re.compile(r"[,;][,; ]*\)")
SPACES, BEFORE_MARK = re.compile("  +"), re.compile(r" (?=[,.)](?:\s|\Z))")
KEPT_ASIDE = re.compile("\x00([0-9]{1,9})\x00")
DEPTH = 5


@dataclass
class Prose:
    """Makes prose of one dump's pages. `dropped_names`: namespaces whose links go; `removed` counts what went."""

    tables: str = "remove"
    site_names: frozenset[str] = frozenset()
    skip_sections: frozenset[str] = frozenset()
    removed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dropped_names = FILES | CATEGORIES | self.site_names

    def __call__(self, text: str) -> str:
        """The prose of one page. No [[Category:…]], template or table is left in it, whatever the page holds."""
        text = "\n" + text.replace("\x00", "")
        aside: list[str] = []
        if "<" in text:
            text = self._elements(text, aside)
        text, count = without_templates(text)
        self.removed["templates"] += count
        if "{|" in text:
            spans = closed_spans(text, TABLE)
            self.removed["tables"] += len(spans) if self.tables == "remove" else 0
            text = replace_spans(text, spans, flat_table if self.tables == "flatten" else lambda _: "\n")
        text = self._links(text)
        if "<" in text:
            text = TAG.sub("", BREAK.sub("\n", text))
        if "'''" in text:
            text = APOSTROPHE.sub("'", text)
        text = QUOTES.sub("", text)
        if "__" in text:
            text = SWITCH.sub("", text)
        if "-{" in text:
            text = VARIANT.sub(r"\1", text)
        if "&" in text:
            text = html.unescape(text).replace("\x00", "")
        text = CONTROL.sub("", text)
        if "[[" in text or "]]" in text or "{{" in text or "}}" in text:
            text = PAIRS.sub("", text)
        text = OPENING.sub("(", HOLLOW.sub("", OTHER_SPACE.sub(" ", text)))
        text = BEFORE_MARK.sub("", SPACES.sub(" ", text))
        text = DOUBLED.sub(r"\1", CLOSING.sub(")", text).replace(",,", ","))
        text, sections = prose_lines(text, self.skip_sections)
        self.removed["sections of sources, or empty"] += sections
        return KEPT_ASIDE.sub(lambda m: aside[int(m[1])], text) if aside else text

    def _elements(self, text: str, aside: list[str]) -> str:
        """Without comments and elements that hold no prose; code and formulas wait in `aside`, a number in place."""
        text, count = COMMENT.subn("", text)
        self.removed["comments"] += count

        def put_aside(span: str) -> str:
            start, end = span.find(">") + 1, span.rfind("</")
            inner = html.unescape(re.sub(r"</?nowiki\s*/?>", "", span[start:end])).replace("\x00", "")
            formula = span[:5].lower().startswith(FORMULA)
            aside.append(f"${' '.join(inner.split())}$" if formula else inner.strip("\n"))
            return f"\x00{len(aside) - 1}\x00" if inner.strip() else ""

        spans = closed_spans(text, ASIDE, "/>")
        text = replace_spans(text, spans, lambda span: "" if span.endswith("/>") else put_aside(span))
        spans = closed_spans(text, ELEMENT, "/>")
        self.removed["references and galleries"] += len(spans)
        return replace_spans(text, spans)

    def _links(self, text: str) -> str:
        if "[" not in text:
            return text
        text = SIMPLE_LINK.sub(r"\1\2", text)
        text = replace_spans(text, closed_spans(text, LINK), self._link)
        if "[[" in text:
            text = OPEN_LINK.sub(lambda m: "" if self._is_dropped(m[1]) else m[0][2:], text)
        return EXTERNAL.sub(r"\1", text)

    def _link(self, span: str, depth: int = 0) -> str:
        """[[Namespace:Target|label]] → label, or nothing for files, categories and other languages."""
        content = span[2:-2]
        target, bar, label = content.partition("|")
        prefix, colon, _ = target.partition(":")
        if colon and prefix.strip():
            if self._is_dropped(prefix):
                self.removed["files and categories"] += 1
                return ""
            if not bar and OTHER_LANGUAGE.match(prefix.strip()):
                self.removed["links to other languages"] += 1
                return ""
        label = label.rpartition("|")[2] if bar and "[[" not in label else label
        shown = label if bar and label.strip() else target.lstrip(": ")
        if "[[" in shown:
            inner = closed_spans(shown, LINK) if depth < DEPTH else []
            shown = replace_spans(shown, inner, lambda s: self._link(s, depth + 1)).replace("[[", "").replace("]]", "")
        return shown

    def _is_dropped(self, prefix: str) -> bool:
        return prefix.strip().lower().replace("_", " ") in self.dropped_names
