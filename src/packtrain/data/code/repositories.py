"""a folder, an archive or an installed Python package → one repository: its files and its licence

A folder is walked without following links, an archive is read in memory; nothing is unpacked to disk.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packtrain.data.code.licences import of_project
from packtrain.data.packed import Limits, files_in
from packtrain.data.step import Skips

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".whl")
INSTALLED = (".dist-info",)
LICENCE_FILE = re.compile(r"(?:un)?licen[sc]es?(?:[-._]\w+)*|copying(?:[-._]\w+)*|mit-license(?:\.\w+)?", re.IGNORECASE)
NO_LICENCE = (".py", ".js", ".c", ".h", ".json", ".html", ".go", ".rs", ".java", ".ts")  # license.py is a program
HIDDEN = {".git", ".hg", ".svn", "__pycache__", ".tox", ".venv", ".ipynb_checkpoints"}
DECLARED = re.compile(
    r"^(?:License-Expression|License|Classifier: License ::(?: OSI Approved ::)?):?\s*(.+)$", re.MULTILINE
)


@dataclass(frozen=True)
class File:
    """A file of a repository; read when it is wanted."""

    path: str
    content: bytes


def find(path: Path) -> list[Path]:
    """The repositories at `path`: an archive, a repository's folder, or the folders and archives in a folder."""
    if path.is_file() or path.name.endswith(INSTALLED):
        return [path]
    inside = sorted(p for p in path.iterdir() if not p.name.startswith(".") and not p.is_symlink())
    installed = [p for p in inside if p.name.endswith(INSTALLED) and p.is_dir()]
    if installed:
        return installed
    own = (path / ".git").exists() or any(p.is_file() and _is_licence(p.name) for p in inside)
    parts = [p for p in inside if p.is_dir() or p.name.lower().endswith(ARCHIVES)]
    return [path] if own or not parts else parts


def files(repository: Path, wanted_suffix: object, limits: Limits, skips: Skips) -> Iterator[File]:
    """The licence files first, then those that `wanted_suffix(path)` wants."""
    wanted = wanted_suffix if callable(wanted_suffix) else bool
    if repository.is_file():
        for choose, told in (
            (lambda name: _is_licence(_last(name)), Skips()),
            (lambda name: bool(wanted(name)), skips),
        ):
            for name, content in files_in(repository, choose, told, limits):
                if choose(name):
                    yield File(name, content)
                else:  # a file by itself is given whatever is chosen
                    told.skip("no archive", 0)
        return
    names = list(listed(repository, skips))
    for path, name in sorted(names, key=lambda entry: (not _is_licence(_last(entry[1])), entry[1])):
        if not (_is_licence(_last(name)) or wanted(name)):
            continue
        try:
            size = path.stat().st_size
            if size > limits.file:
                skips.skip("file too large", 0, f"{name}: {size} bytes")
                continue
            content = path.read_bytes()
        except OSError as error:
            skips.skip("file cannot be read", 0, f"{name}: {error.strerror}")
            continue
        yield File(name, content)


def licence(found: list[File], metadata: str = "") -> str | None:
    """The project's licence from its licence files nearest the top, else from what the metadata of a package say."""
    texts = [(len(PurePosixPath(f.path).parts), f.content.decode("utf-8", "replace")) for f in found]
    top = min((depth for depth, _ in texts), default=0)
    return of_project([text for depth, text in texts if depth == top], DECLARED.findall(metadata))


def is_licence_file(name: str) -> bool:
    return _is_licence(_last(name))


def metadata(repository: Path) -> str:
    """The head of an installed package's METADATA; nothing for any other repository."""
    path = repository / "METADATA"
    if not (repository.name.endswith(INSTALLED) and path.is_file()):
        return ""
    return path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]


def listed(repository: Path, skips: Skips) -> Iterator[tuple[Path, str]]:
    """(file, its name in the repository), without links."""
    if repository.name.endswith(INSTALLED):
        yield from _installed(repository, skips)
        return
    for folder, below, names in os.walk(repository, followlinks=False):
        below[:] = sorted(name for name in below if name not in HIDDEN)
        for name in sorted(names):
            path = Path(folder) / name
            inner = path.relative_to(repository).as_posix()
            if path.is_symlink() or not path.is_file():
                skips.skip("link or device", None, inner)
            else:
                yield path, inner


def _installed(folder: Path, skips: Skips) -> Iterator[tuple[Path, str]]:
    """The files that RECORD lists, where they are below the folder that packages are installed in."""
    root = folder.parent.resolve()
    try:
        rows = list(csv.reader((folder / "RECORD").read_text(encoding="utf-8", errors="replace").splitlines()))
    except (OSError, csv.Error) as error:
        return skips.skip("no RECORD", None, str(error))
    for row in rows:
        path = root / row[0] if row else root
        if ".." in PurePosixPath(row[0] if row else "").parts or path.is_symlink():
            continue  # scripts in bin/
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, row[0]


def _is_licence(name: str) -> bool:
    return LICENCE_FILE.fullmatch(name) is not None and not name.lower().endswith(NO_LICENCE)


def _last(name: str) -> str:
    return PurePosixPath(name).name
