"""the running Python's standard library → (module name, path, source), each module in one split for every domain

The split hashes the module's name before domains are cut: a docstring also stands in its .py file, so code and prose of
one module must lie on the same side.
"""

from __future__ import annotations

import platform
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packtrain.data.documents import split_of
from packtrain.data.origin import digest, name_of
from packtrain.errors import UserError

SKIPPED_FOLDERS = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}


@dataclass(frozen=True)
class Module:
    """`source` is None where the file could not be decoded. `path` is relative to the library."""

    name: str
    path: str
    source: str | None

    def split(self, held_out: float) -> str:
        return split_of(f"python module {self.name}", held_out)


def modules(root: Path | None = None) -> Iterator[Module]:
    """The modules under `root` (default: the standard library), sorted by path; tests and generated tables left out."""
    yield from _modules(root or Path(sysconfig.get_paths()["stdlib"]))


@lru_cache(maxsize=2)  # the prose needs the code, too: one walk serves both
def _modules(root: Path) -> tuple[Module, ...]:
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS.intersection(relative.parts) or relative.as_posix() == "pydoc_data/topics.py":
            continue
        if relative.name.startswith("_sysconfigdata"):  # how this Python was compiled: generated, full of local paths
            continue
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, relative.as_posix(), _read(path)))
    if not found:
        raise UserError(f"{root}: no standard library source here; use a Python that has its .py files")
    return tuple(found)


def _read(path: Path) -> str | None:
    try:
        with tokenize.open(path) as file:  # honours the coding line (PEP 263)
            return file.read()
    except (SyntaxError, ValueError):
        return None


def origin(source: Path | None) -> str:
    """The version of the running Python, or a digest of the files of `source`."""
    if source is None:
        return f"Python {platform.python_version()}"
    return digest((path, name_of(path, source)) for path in sorted(source.rglob("*.py")) if path.is_file())
