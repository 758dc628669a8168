"""{{name|argument|…}} → "" or, for the few templates whose arguments are part of the sentence, that argument

{{lang|fr|la mer}} → la mer; {{convert|5|km|mi}} → 5 km; {{Infobox …}} and all others → nothing.
"""

from __future__ import annotations

import re

from packtrain.data.wiki.spans import closed_spans, replace_spans
from packtrain.data.words import words

BRACES = re.compile(r"(\{\{)|\}\}")
DEPTH = 4  # a template of the sentence within so many others is still read
LONGEST = 5000  # characters of one that is part of a sentence
NAMED = re.compile(r"\s*([\w -]{1,30})=")
BAR = re.compile(r"\|(?![^\[\]]*\]\])")

FIRST = words(
    """
    nowrap nobr nobold noitalics small smaller big larger large abbr sup sub nihongo nihongo2 quote cquote
    blockquote quotation zitat cita citação citat цитата var mvar math em strong kbd sc smallcaps linktext
    vanchor ill tq gloss langue j ta
    """
) | {"visible anchor", "interlanguage link", "не переведено", "citation bloc", '"'}
SECOND = frozenset(["lang", "мова", "език", "color", "colour"])
LAST = frozenset(["transl", "transliteration", "script", "asiantitle"])
MEASURES = frozenset(["convert", "cvt", "unité", "unidad", "nombre", "number", "num", "число", "val"])
DATES = ["date", "date-", "date de naissance", "date de naissance-", "date de décès", "date de décès-", "datum"]
CHEMICAL = frozenset(["chem", "chem2", "chemf"])  # {{chem|C|2|H|6}} → C2H6
JOINED = MEASURES | set(DATES)
CENTURY = frozenset(["s", "s-", "siècle", "-s", "-s-", "sp", "sp-"])  # French: {{s|XX|e}}
ORDINAL = re.compile(r"(?:\d+|[ivxlcdm]+)(?:er|re|e|ère|ème|eme|nd|de)(?: siècle)?$")
CENTURIES = {"segle": "segle", "séc": "século"}  # Catalan and Portuguese: {{segle|XIII}}
OTHERS = CENTURY | CENTURIES.keys() | {"circa", "c.", "ca", "frac", "sfrac", "as of"}
FIXED = {"–": "–", "ndash": "–", "snd": " – ", "spaced ndash": " – ", "mdash": "—", "'": "'", "!": "|", "·": " · ",
         "•": " • ", "dot": " · ", "nbsp": " ", "spaces": " ", "0": "", "pipe": "|", "=": "=", "c.": "c. ",
         "circa": "c. ", "ca": "c. ", "&": "&", "carbon": "C", "hydrogen": "H", "oxygen": "O",
         "nitrogen": "N", "co2": "CO2", "h2o": "H2O", "-": "\n", "clear": "\n", "pi": "π"}  # fmt: skip


def without_templates(text: str) -> tuple[str, int]:
    """`text` without its templates, and their number; what never closes goes to the end of its line."""
    if "{{" not in text:
        return text, 0
    spans = closed_spans(text, BRACES)
    text = replace_spans(text, spans, _in_sentence)
    if "{{" in text:
        text = re.sub(r"\{\{[^\n]*", "", text)
    return text.replace("}}", ""), len(spans)


def _in_sentence(span: str, depth: int = 0) -> str:
    content = span[2:-2]
    name = content[:60].partition("|")[0].partition("\n")[0].strip().lower().replace("_", " ")
    if name.startswith("formatnum:"):
        return content.partition(":")[2].strip()[:40]
    if name in FIXED and (name not in ("circa", "c.", "ca") or "|" not in content):
        return FIXED[name]
    if ORDINAL.match(name):
        return content.partition("|")[0].strip()
    known = (
        name in CHEMICAL
        or name in FIRST
        or name in SECOND
        or name in LAST
        or name in JOINED
        or name.startswith("lang-")
    )
    if not (known or name in OTHERS):
        return ""
    if depth >= DEPTH or len(content) > LONGEST:
        return ""
    if "{{" in content:
        content = replace_spans(content, closed_spans(content, BRACES), lambda inner: _in_sentence(inner, depth + 1))
    values = _positional(content)
    if not values:
        return ""
    if name in CHEMICAL:
        return "".join(values)
    if name in JOINED:
        return " ".join(values[:2] if name in MEASURES else values[:3])
    if name in CENTURY:
        return f"{values[0]}{values[1] if len(values) > 1 else 'e'} siècle"
    if name in CENTURIES:
        return f"{CENTURIES[name]} {values[0]}"
    if name in ("frac", "sfrac"):
        return "/".join(values[:2]) if len(values) < 3 else f"{values[0]} {values[1]}/{values[2]}"
    if name in ("circa", "c.", "ca"):
        return f"c. {values[0]}"
    if name == "as of":
        return ("as of " if "lc=" in content else "As of ") + " ".join(values)
    if name in SECOND:
        return values[1] if len(values) > 1 else ""
    if name in LAST:
        return values[-1]
    return f"„{values[0]}“" if name == '"' else values[0]


def _positional(content: str) -> list[str]:
    """The arguments without a name, and those named by their number."""
    values: list[str] = []
    for value in BAR.split(content)[1:]:
        named = NAMED.match(value)
        if named is None:
            values.append(value.strip())
        elif named[1].strip().isdigit() or named[1].strip() in ("text", "quote"):
            values.append(value[named.end() :].strip())
    return [value for value in values if value]
