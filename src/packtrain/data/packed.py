"""file → is it a zip, a tar or one compressed file? → (name, bytes) of the wanted files inside, within limits

Nothing is ever written to disk, so nothing can escape; links, odd names, encrypted and oversized members, and archives
that unpack without end are skipped and counted. Whatever stands before the damage is still read.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from packtrain.data import files
from packtrain.data.step import Skips

TAR_BLOCK = 512
BROKEN = (*files.BROKEN, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError,
          IndexError)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Bytes of one file and of all that one archive unpacks to; files in an archive."""

    file: int = 64 << 20
    archive: int = 1 << 30
    files: int = 20_000


class _TooMuch(Exception):
    pass


class _Bounded:
    """Reads at most `limit` bytes of `file`, then raises: an archive that unpacks without end.

    Of one that breaks off it gives what stands before the break, and raises when it is asked for more.
    """

    def __init__(self, file: BinaryIO, limit: int, start: bytes = b"") -> None:
        self.file, self.left, self.start = file, limit, start
        self.broken: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self.left + 1:
            size = self.left + 1
        data = self.start[:size]
        self.start = self.start[size:]
        while len(data) < size and (more := self._more(size - len(data))):
            data += more
        if self.broken and not data:
            raise self.broken
        self.left -= len(data)
        if self.left < 0:
            raise _TooMuch
        return data

    def _more(self, size: int) -> bytes:
        try:
            return b"" if self.broken else getattr(self.file, "read1", self.file.read)(min(size, 1 << 20))
        except BROKEN as error:
            self.broken = error
            return b""


def files_in(path: Path, wanted: Callable[[str], bool], skips: Skips, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the wanted regular files; a file that is no archive is itself, under its own name.

    Raises nothing: what cannot be read is told to `skips`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            yield from _zipped(path, wanted, skips, limits)
            return
        with files.opened(path) as file:
            head = file.read(TAR_BLOCK)  # 512 bytes: a packed file that breaks off in them holds nothing to keep
            if _is_tar(head):
                yield from _tarred(_Bounded(file, limits.archive, head), wanted, skips, limits)
            else:
                bounded = _Bounded(file, limits.file, head)
                content = bounded.read()
                if bounded.broken:
                    raise bounded.broken
                yield (path.name[: -len(path.suffix)] if files.opener(start) else path.name), content
    except _TooMuch:
        skips.skip("unpacks to too much", 0, f"over {limits.archive >> 20} MiB, or {limits.file >> 20} MiB a file")
    except BROKEN as error:
        skips.skip("archive damaged", 0, f"{type(error).__name__}: {error}")


def _is_tar(head: bytes) -> bool:
    if len(head) < TAR_BLOCK:
        return False
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _tarred(
    source: _Bounded, wanted: Callable[[str], bool], skips: Skips, limits: Limits
) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=source, mode="r|", errorlevel=0) as tar:  # type: ignore[call-overload]
        for count, member in enumerate(tar):
            if count >= limits.files:
                return skips.skip("too many files in an archive", member.offset, f"over {limits.files}")
            if not member.isreg():
                if not member.isdir():
                    skips.skip("link or device in an archive", member.offset, member.name)
                continue
            if _fits(member.name, member.size, member.offset, wanted, skips, limits):
                if member.issparse():
                    skips.skip("sparse file in an archive", member.offset, member.name)
                    continue
                file = tar.extractfile(member)
                if file is not None:
                    yield _clean(member.name), file.read()


def _zipped(path: Path, wanted: Callable[[str], bool], skips: Skips, limits: Limits) -> Iterator[tuple[str, bytes]]:
    left = limits.archive
    with zipfile.ZipFile(path) as archive:
        for count, member in enumerate(archive.infolist()):
            if count >= limits.files:
                return skips.skip("too many files in an archive", member.header_offset, f"over {limits.files}")
            if member.is_dir():
                continue
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                skips.skip("link or device in an archive", member.header_offset, member.filename)
                continue
            if not _fits(member.filename, member.file_size, member.header_offset, wanted, skips, limits):
                continue
            try:
                with archive.open(member) as file:
                    content = file.read(min(limits.file, left) + 1)
            except BROKEN as error:
                skips.skip("file in an archive damaged", member.header_offset, f"{member.filename}: {error}")
                continue
            left -= len(content)
            if len(content) > limits.file or left < 0:
                skips.skip("unpacks to too much", member.header_offset, member.filename)
                if left < 0:
                    return
                continue
            yield _clean(member.filename), content


def _fits(name: str, size: int, offset: int, wanted: Callable[[str], bool], skips: Skips, limits: Limits) -> bool:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in name:
        skips.skip("name that leaves the archive", offset, name)
        return False
    if not wanted(_clean(name)):
        return False
    if size > limits.file:
        skips.skip("file too large", offset, f"{name}: {size} bytes")
        return False
    return True


def _clean(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/"))).encode("utf-8", "replace").decode()
