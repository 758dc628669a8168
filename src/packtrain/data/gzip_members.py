"""file ─members→ pieces of plain bytes, each with the offset in the file of the member it is from

    Piece(offset, bytes, exact)   a member of usual size is one piece; a file that is not compressed comes in blocks,
                                  and only there the offset is that of the piece itself (`exact`)
    Piece(offset, None, exact)    a break: what came before does not go on in what comes after

A broken member is skipped and counted with its offset, and reading goes on at the next member that begins as `opening`
says. The search starts behind the broken member's first byte: a cut member swallows the head of the one after it.
An empty member is no end of the file, and zeros between members are padding. Memory is bounded by `PIECE`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, NamedTuple

from packtrain.data.step import Skips

BLOCK = 1 << 18  # bytes read at a time
PIECE = 1 << 20  # bytes made at a time; what a bomb can fill
BOMB_BYTES, BOMB_RATIO = 256 << 20, 200  # a member is a bomb that is larger and shrank more; pages shrink by 3 to 20
MAGIC = b"\x1f\x8b\x08"


class Piece(NamedTuple):
    offset: int
    data: bytes | None
    exact: bool


def is_gzip(head: bytes) -> bool:
    return head.startswith(b"\x1f\x8b")


def pieces(file: BinaryIO, skips: Skips, opening: Callable[[bytes], bool]) -> Iterator[Piece]:
    """The plain bytes of `file` (seekable), compressed or not. `opening(first bytes)`: may a member begin like this?"""
    head = file.read(2)
    file.seek(0)
    if is_gzip(head):
        yield from _members(file, skips, opening)
    else:
        offset = 0
        while block := file.read(BLOCK):
            yield Piece(offset, block, True)
            offset += len(block)


def _members(file: BinaryIO, skips: Skips, opening: Callable[[bytes], bool]) -> Iterator[Piece]:
    start, block = 0, b""  # `block` begins at `start`
    while True:
        stripped = block.lstrip(b"\0")
        start, block = start + len(block) - len(stripped), stripped
        if len(block) < 18:  # the shortest member
            more = file.read(BLOCK)
            block += more
            if not block:
                return
            if more and not block.strip(b"\0"):
                continue
        if not block.startswith(MAGIC):
            found = _next_member(file, start, opening)
            skips.skip("bytes between gzip members", start, _passed(start, found))
        else:
            done = yield from _member(file, start, block, skips)
            if done is not None:
                start, block = done
                continue
            yield Piece(start, None, False)
            found = _next_member(file, start + 1, opening)
        if found is None:
            return
        file.seek(found)
        start, block = found, b""


def _member(file: BinaryIO, start: int, block: bytes, skips: Skips) -> Generator[Piece, None, tuple[int, bytes] | None]:
    """The pieces of one member that begins with `block`. Returns (offset, bytes) behind it, None where it is broken."""
    inflate, position, made, held = zlib.decompressobj(31), start, 0, b""
    while True:
        try:
            plain = inflate.decompress(block, PIECE)
        except zlib.error as error:
            skips.skip("broken gzip member", start, str(error))
            return None
        position += len(block) - len(inflate.unconsumed_tail) - len(inflate.unused_data)
        block = inflate.unconsumed_tail
        made += len(plain)
        if made > BOMB_BYTES and made > BOMB_RATIO * (position - start):
            skips.skip("gzip bomb", start, f"more than {made:,} bytes from {position - start:,}")
            return None
        if inflate.eof:
            if held or plain:
                yield Piece(start, held + plain, False)
            return position, inflate.unused_data
        if len(held) + len(plain) >= PIECE:
            yield Piece(start, held + plain, False)
            held = b""
        else:
            held += plain
        if (not block and not plain) or (not block and len(plain) < PIECE):
            block = file.read(BLOCK)
            if not block:
                if held:
                    yield Piece(start, held, False)
                skips.skip("truncated gzip member", start)
                return None


def _next_member(file: BinaryIO, start: int, opening: Callable[[bytes], bool]) -> int | None:
    """The offset of the first member at or behind `start` that begins rightly; chance makes gzip's magic too."""
    file.seek(start)
    base, block = start, b""
    while more := file.read(BLOCK):
        block += more
        at = block.find(MAGIC)
        while at >= 0:
            if at > len(block) - 1024 and len(more) == BLOCK:
                break  # too near the end to be tried: with the next block
            try:
                head = zlib.decompressobj(31).decompress(block[at : at + 4096], 64)
            except zlib.error:
                head = b""
            if head and opening(head):
                return base + at
            at = block.find(MAGIC, at + 1)
        cut = at if at >= 0 else max(len(block) - len(MAGIC) + 1, 0)
        base, block = base + cut, block[cut:]
    return None


def _passed(start: int, found: int | None) -> str:
    return "up to the end" if found is None else f"{found - start:,} bytes passed over"
