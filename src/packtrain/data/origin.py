"""the files of a domain → their names, sizes, and one digest that changes when any of them does; none is read"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from packtrain.data.code.repositories import INSTALLED, listed
from packtrain.data.domain import Source
from packtrain.data.remote import name_below, state
from packtrain.data.step import Skips


def name_of(path: Source, source: Source) -> str:
    """The file's name below `source`, with forward slashes; of `source` itself its own."""
    if isinstance(path, str):
        return name_below(path, str(source))
    if path == source:
        return path.name or path.resolve().name
    return path.relative_to(source).as_posix()


def size_of(path: Source) -> int:
    """Bytes of a file, of a folder those of all its files; 0 where it is not known."""
    return sum(size for _, size, _ in _states(path))


def digest(files: Iterable[tuple[Source, str]]) -> str:
    """Over names, sizes and times of change."""
    total = hashlib.sha256()
    for path, name in files:
        for below, size, changed in _states(path):
            total.update(f"{name}{below}\0{size}\0{changed}\n".encode("utf-8", "surrogateescape"))
    return f"files {total.hexdigest()[:16]}"


def _states(path: Source) -> Iterator[tuple[str, int, str]]:
    """(name below `path`, size, time of change) of the file, or of every file of the folder."""
    if isinstance(path, str):
        yield "", *state(path)
        return
    if path.name.endswith(INSTALLED):  # an installed package's files stand beside this folder, which lists them
        below = sorted(file for file, _ in listed(path, Skips()))
    else:
        below = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink()) if path.is_dir() else [path]
    for file in below:
        status = file.stat()
        name = "" if file == path else f"/{os.path.relpath(file, path)}"
        yield name, status.st_size, str(status.st_mtime_ns)
