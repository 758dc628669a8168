"""SITE.7z ─py7zr→ the bytes of its Posts.xml, pushed as they are unpacked; nothing is written to disk"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from packtrain.data.step import Skips
from packtrain.errors import UserError


class Bomb(Exception):
    """More bytes than any dump of this size holds."""


def push_posts(path: Path, push: Callable[[bytes], None], limit: int, skips: Skips) -> None:
    """Every Posts.xml in the archive, in pieces, to `push`. What cannot be unpacked is skipped and counted.

    Members are found by name and only ever read, so links and names that climb out of a folder do nothing.
    """
    try:
        import py7zr
        from py7zr.io import Py7zIO, WriterFactory
    except ImportError:
        raise UserError(f"{path}: reading .7z needs py7zr; pip install 'packtrain[data]'") from None

    class Sink(Py7zIO):
        """What py7zr takes for a file to unpack into."""

        def __init__(self) -> None:
            self.written = 0

        def write(self, s: Any) -> int:
            self.written += len(s)
            if self.written > limit:
                raise Bomb
            push(bytes(s))
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def flush(self) -> None: ...

        def size(self) -> int:
            return self.written

    class Factory(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Sink()

    try:
        with py7zr.SevenZipFile(path, "r") as archive:
            names = [name for name in archive.getnames() if name.replace("\\", "/").lower().endswith("posts.xml")]
            if names:
                archive.extract(targets=names, factory=Factory())
            else:
                skips.skip("archive without a Posts.xml")
    except Bomb:
        skips.skip("archive unpacks to more than any dump holds", None, f"more than {limit:,} bytes")
    except Exception as error:  # py7zr lets whatever its decoders raise through: LZMAError, struct.error, EOFError …
        skips.skip("archive cannot be unpacked", None, f"{type(error).__name__}: {error}")
