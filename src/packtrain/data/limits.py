"""bytes of unknown origin → text, or the reason why not; lines and streams that may be endless, bounded

BOM → UTF-8 → the declared encoding → charset-normalizer's guess on the beginning. Bytes with many controls are binary.
"""

from __future__ import annotations

import codecs
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

LONGEST_LINE = 64 << 20  # bytes of one JSON line; a longer one is passed over
GUESSED = 1 << 16  # bytes that the guess looks at
LOOKED_AT = 1 << 13
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does: asked first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b"))


class TooLarge(Exception):
    """A stream that is longer than its limit."""


def is_binary(data: bytes) -> bool:
    """A NUL, or more than a tenth of controls, in the first 8 KiB; not where a byte-order mark says UTF-16 or 32."""
    start = data[:LOOKED_AT]
    if any(start.startswith(mark) for mark, _ in BOMS):
        return False
    return b"\0" in start or len(start) - len(start.translate(None, CONTROLS)) > len(start) / 10


def decode(data: bytes, declared: str | None = None) -> tuple[str, str] | None:
    """(text, the encoding it was), or None where nothing fits without errors; NULs stand for no text."""
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _try(data, encoding)
    if b"\0" in data:
        return None
    for encoding in ("utf-8", declared):
        if encoding and (found := _try(data, encoding)):
            return found
    return _guessed(data)


def _guessed(data: bytes) -> tuple[str, str] | None:
    from charset_normalizer import from_bytes  # 30 ms that UTF-8 files need not pay

    best = from_bytes(data[:GUESSED]).best()
    for encoding in (best.encoding if best else None, "cp1252"):
        if encoding and encoding != "utf_8" and (found := _try(data, encoding)):
            return found
    return None


def _try(data: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        return data.decode(encoding), encoding
    except (UnicodeError, LookupError, ValueError):
        return None


def read_all(stream: BinaryIO, limit: int) -> bytes:
    """The stream to its end; raises `TooLarge` once it is over `limit` bytes, having read no more than that."""
    blocks, size = [], 0
    while block := stream.read(min(1 << 20, limit - size + 1)):
        blocks.append(block)
        size += len(block)
        if size > limit:
            raise TooLarge
    return b"".join(blocks)


def blocks_of(stream: BinaryIO, size: int = 1 << 20) -> Iterator[bytes]:
    """Whatever a stream has at hand, at most `size`: of a packed one that breaks off, all that stands before."""
    read = getattr(stream, "read1", stream.read)
    return iter(lambda: read(size), b"")


def gathered(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The blocks in larger ones of about `size`; where they break off with an error, first what came before it."""
    parts: list[bytes] = []
    length = 0
    try:
        for block in blocks:
            parts.append(block)
            length += len(block)
            if length >= size:
                yield b"".join(parts)
                parts, length = [], 0
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        if parts:
            yield b"".join(parts)
        raise
    if parts:
        yield b"".join(parts)


def lines(blocks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[bytes | None]:
    """The lines of a stream of bytes, split at \\n alone; None in the place of one that is longer than `longest`."""
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        *whole, rest = block.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line]) if size + len(line) <= longest else None
            parts, size = [], 0
        size += len(rest)
        if size <= longest:
            parts.append(rest)
        else:
            parts = []
    if size:
        yield b"".join(parts) if size <= longest else None
