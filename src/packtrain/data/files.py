"""a file, or a folder → the files in it that a domain wants, sorted; a packed one opened by what it begins with"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from packtrain.errors import UserError

OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)  # what a damaged packed file raises


def find(path: Path, wanted: Callable[[Path], bool], expected: str) -> list[Path]:
    """`path` itself where it is a file, else every wanted file below it that is not hidden.

    Raises `UserError` where there is none, or no such folder: "input=…: `expected`".
    """
    if not path.exists():
        raise UserError(f"input={path}: no such file or directory")
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if wanted(p) and p.is_file() and not hidden(p.relative_to(path)))
    if not found:
        raise UserError(f"input={path}: {expected}")
    return found


def hidden(path: PurePath) -> bool:
    """Whether a part of a name below the input begins with a dot: `._main.tex`, `.git/config`."""
    return any(part.startswith(".") for part in path.parts)


def opener(start: bytes) -> Callable[..., BinaryIO] | None:
    """What unpacks a file that begins so; None where it is not packed."""
    return next((found for magic, found in OPENERS.items() if start.startswith(magic)), None)


def opened(path: Path) -> BinaryIO:
    """Decompressed, whatever its name says."""
    with path.open("rb") as file:
        unpack = opener(file.read(6))
    return unpack(path, "rb") if unpack else path.open("rb")
