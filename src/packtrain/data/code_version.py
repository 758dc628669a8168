"""module → the sources of all of packtrain's modules that it imports, one after the other → 12 digits

What was made by other code is other work, though no version number was raised.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

IMPORTED = re.compile(r"^\s*(?:from (packtrain[\w.]*) import ([\w, ]+)|import (packtrain[\w.]+))", re.MULTILINE)


@lru_cache(maxsize=64)
def code_version(*modules: str) -> str:
    """12 hex digits over the sources of `modules` and of what they import below `packtrain`, at any depth."""
    found: dict[str, bytes] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name in found or (source := _source(name)) is None:
            continue
        found[name] = source
        for whole, parts, plain in IMPORTED.findall(source.decode("utf-8")):
            todo += [plain] if plain else [whole, *(f"{whole}.{part.split()[0]}" for part in parts.split(",") if part)]
    digest = hashlib.sha256()
    for name, source in sorted(found.items()):
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:12]


def _source(module: str) -> bytes | None:
    """None where there is no such module: the name was that of a class or a function."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).read_bytes() if spec and spec.origin and spec.origin.endswith(".py") else None
