"""a licence's text, an SPDX expression or a header → SPDX identifiers; and whether they are among those that are kept

Known by phrases that their texts share whatever the layout. A file that holds several texts (a project's own licence,
then those of what it bundles) is the first one's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

PHRASES: tuple[tuple[str, str], ...] = (
    ("AGPL", "gnu affero general public license"),
    ("LGPL", "gnu lesser general public license"),
    ("LGPL", "gnu library general public license"),
    ("GPL", "gnu general public license"),
    ("MPL-2.0", "mozilla public license"),
    ("EPL-2.0", "eclipse public license"),
    ("CDDL-1.0", "common development and distribution license"),
    ("EUPL-1.2", "european union public licence"),
    ("CC", "creative commons"),
    ("Apache-2.0", "apache license version 2 0"),
    ("Apache-2.0", "apache org licenses license 2 0"),
    ("Apache-2.0", "licensed under the apache license"),
    ("MIT", "permission is hereby granted free of charge to any person obtaining a copy"),
    ("MIT", "licensed under the mit license"),
    ("MIT", "released under the mit license"),
    ("BSD", "redistribution and use in source and binary forms with or without modification"),
    ("BSD", "governed by a bsd style license"),
    ("ISC", "permission to use copy modify and or distribute this software for any purpose"),
    ("ISC", "permission to use copy modify and distribute this software for any purpose"),
    ("PSF-2.0", "python software foundation license"),
    ("Unlicense", "this is free and unencumbered software released into the public domain"),
    ("Zlib", "this software is provided as is without any express or implied warranty in no event will the authors"),
    ("BSL-1.0", "boost software license"),
    ("WTFPL", "do what the fuck you want to public license"),
)
SPDX = re.compile(r"SPDX-License-Identifier:\s*([^\n*]+?)\s*(?:\*/|-->|$)", re.MULTILINE)
TITLES = ((r"the mit license|mit license", "MIT"), (r"(?:new |modified |3 clause |simplified )?bsd license", "BSD"))
MEANT = {
    "MIT": ("mit", "mit license", "the mit license", "expat"),
    "Apache-2.0": ("apache", "apache 2", "apache 2 0", "apache license", "apache license 2 0",
                   "apache software license", "apache license version 2 0", "apache software license 2 0"),
    "BSD-3-Clause": ("bsd", "bsd license", "new bsd", "new bsd license", "modified bsd", "modified bsd license",
                     "bsd 3 clause", "bsd 3 clause license", "3 clause bsd", "3 clause bsd license"),
    "BSD-2-Clause": ("bsd 2 clause", "bsd 2 clause license", "simplified bsd"),
}  # fmt: skip
NAMES = {name: identifier for identifier, names in MEANT.items() for name in names}


def flat(text: str) -> str:
    """Lower-case words with single blanks, as the phrases are written."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower())


def licence_of(text: str) -> str | None:
    """The SPDX identifier of a licence text or of a header that speaks of one; None where none is recognised.

    Families without their version (GPL, CC) are named as such.
    """
    if declared := SPDX.search(text):
        return declared[1].strip()
    return text_of(text)


def text_of(text: str) -> str | None:
    """The same by the phrases alone: in a project's licence file an SPDX line may speak of what is bundled."""
    words = flat(text)
    found = [(place, name) for name, phrase in PHRASES if (place := words.find(phrase)) >= 0]
    if not found:
        title = words[:300]
        return next(
            (_bsd(words) if name == "BSD" else name for p, name in TITLES if re.search(rf"\b({p})\b", title)), None
        )
    name = min(found)[1]
    return _bsd(words[min(found)[0] :]) if name == "BSD" else name


def _bsd(words: str) -> str:
    if "all advertising materials mentioning features" in words:
        return "BSD-4-Clause"
    three = ("neither the name", "endorse or promote", "3 clause", "new bsd", "modified bsd", "bsd style")
    return "BSD-3-Clause" if any(phrase in words for phrase in three) else "BSD-2-Clause"


def named(name: str) -> str | None:
    """The identifier that a package's metadata mean by a licence's name: `Apache 2.0`, `BSD License`, `MIT`."""
    name = name.strip()
    return NAMES.get(flat(name).strip()) or (
        name if re.fullmatch(r"[\w.+()-]+( (AND|OR|WITH) [\w.+()-]+)*", name) else None
    )


def permitted(expression: str | None, kept: Collection[str]) -> bool:
    """Whether an SPDX expression allows use under the kept licences alone: one of its ORs, all of that one's ANDs."""
    if not expression:
        return False
    known = {name.lower() for name in kept}
    flattened = expression.replace("(", " ").replace(")", " ")
    # (MIT OR GPL) AND X is read too strictly, never too loosely.
    if "(" in expression and re.search(r"\bAND\b", expression, re.IGNORECASE):
        return all(part.lower() in known for part in _names(flattened))
    return any(
        all(part.lower() in known for part in _names(choice))
        for choice in re.split(r"\s+OR\s+|\s*/\s*", flattened, flags=re.IGNORECASE)
    )


def _names(text: str) -> list[str]:
    words = re.sub(r"\bWITH\s+\S+", " with-exception ", text, flags=re.IGNORECASE)
    return [w for w in re.split(r"\s+AND\s+|\s+OR\s+|\s+", words.strip(), flags=re.IGNORECASE) if w]


def of_project(texts: Iterable[str], declared: Iterable[str] = ()) -> str | None:
    """The licence of a project: what its licence files are, else what its metadata say.

    Several different ones are joined with AND: each must be kept.
    """
    found = sorted({name for text in texts if (name := text_of(text) or licence_of(text))})
    if not found:
        found = sorted({name for text in declared if (name := named(text))})
    return " AND ".join(found) or None
