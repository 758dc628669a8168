"""file ─gzip members→ bytes ─headers, Content-Length→ Record(offset, headers, body), one after the other

Made for damaged files: nothing ends the reading, and nothing is lost without a count.

    record, wrong Content-Length     kept with the bytes up to the next record, `mended` is set
    broken or cut gzip member        skipped; on at the next member                    (gzip_members)
    bytes that are no record         skipped; on at the next line that begins a record
    cut at the end of the file       skipped
    larger than `LARGEST`            skipped while it streams by; no memory is taken

fastwarc, the fast parser that others use, agrees record for record on whole files (tests/data/test_warc.py) but stops
without an error at an empty gzip member, reads the rest of a file into one record where a Content-Length is too large
or lines end in LF, and ends at the first broken member; so the records are found here, at
77 MB/s of text inflated against its 205 (docs/domains/common_crawl.md): not what a page's work is spent on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from packtrain.data.gzip_members import Piece, pieces
from packtrain.data.step import Skips

LARGEST = 64 << 20  # bytes of one record; Common Crawl cuts pages at 1 MiB, lately at 5
LONGEST_HEADER = 1 << 16
OPENING = re.compile(rb"WARC/\d\.\d[ \t]*\r?\n[A-Za-z-]+:")
NEXT = re.compile(rb"(?:\A|(?<=\n))" + OPENING.pattern)
LONGEST_OPENING = 64  # bytes that tell an opening
HEADER_END = re.compile(rb"\r?\n\r?\n")
BLANK = b"\r\n\0 \t"
NOT_BLANK = re.compile(rb"[^\r\n\0 \t]")


@dataclass(frozen=True, slots=True)
class Record:
    """`headers` by lower-case name; `offset`: of the record, or of the gzip member it stands in."""

    offset: int
    headers: dict[str, str]
    body: bytes
    mended: bool = False  # its Content-Length was wrong

    @property
    def kind(self) -> str:
        return self.headers.get("warc-type", "").lower()


def records(file: BinaryIO, skips: Skips) -> Iterator[Record]:
    """Every record of a WARC, WET or WAT file, compressed or not. `file` must be seekable."""
    window = _Window(pieces(file, skips, lambda head: head.lstrip(BLANK).startswith(b"WARC/")))
    while window.next_run():
        while window.skip_blank():
            record = _record(window, skips)
            if record is not None:
                yield record


class _Window:
    """`data[at:]` is what comes next. A run ends at a break in the stream or with it; then there is no `more`."""

    def __init__(self, stream: Iterator[Piece]) -> None:
        self._stream = stream
        self.data, self.at = b"", 0
        self.ended, self.broken, self._finished = True, False, False
        self._base = 0  # bytes of the run before data[0]
        self._marks: list[tuple[int, Piece]] = []  # (bytes of the run before it, piece)

    def next_run(self) -> bool:
        """Past a break; False where nothing follows."""
        self.data, self.at, self._base, self._marks = b"", 0, 0, []
        self.ended, self.broken = self._finished, False
        return not self._finished

    def fill(self, count: int) -> bool:
        """Whether `count` bytes are there, reading on where they are not."""
        missing = count - (len(self.data) - self.at)
        if missing <= 0:
            return True
        parts, total = [self.data[self.at :]], self._base + len(self.data)
        while missing > 0 and not self.ended:
            piece = next(self._stream, None)
            if piece is None or piece.data is None:
                self.ended, self._finished, self.broken = True, piece is None, piece is not None
                break
            self._marks.append((total, piece._replace(data=None)))
            parts.append(piece.data)
            total, missing = total + len(piece.data), missing - len(piece.data)
        self._base, self.at = self._base + self.at, 0
        self.data = b"".join(parts)
        return missing <= 0

    def skip_blank(self) -> bool:
        """To the next byte that is not blank; False at the end of the run."""
        while True:
            if found := NOT_BLANK.search(self.data, self.at):
                self.at = found.start()
                return True
            self.at = len(self.data)
            if not self.fill(1):
                return False

    def offset(self) -> int:
        """Where in the file the next byte stands, or the gzip member that it is from."""
        here = self._base + self.at
        while len(self._marks) > 1 and self._marks[1][0] <= here:
            del self._marks[0]
        before, piece = self._marks[0]
        return piece.offset + (here - before if piece.exact else 0)

    def find_next(self, skip: int, limit: int | None) -> int | None:
        """How many bytes ahead, from `skip` on, the next record begins; None where none does within `limit`.

        Without a limit the bytes are passed over while they are read: the answer counts from where `at` stands then.
        """
        while True:
            if found := NEXT.search(self.data, self.at + skip):
                return found.start() - self.at
            ahead = len(self.data) - self.at
            if limit is None:
                step = max(ahead - LONGEST_OPENING, skip)
                self.at, skip = self.at + step, 0
                ahead -= step
            elif ahead > limit:
                return None
            else:
                skip = max(ahead - LONGEST_OPENING, skip)
            if not self.fill(ahead + max(ahead, 1)):
                found = NEXT.search(self.data, self.at + skip)
                return found.start() - self.at if found else None

    def pass_to_next(self, skip: int) -> None:
        """Past bytes that are no record, in bounded memory."""
        self.at = len(self.data) if (found := self.find_next(skip, None)) is None else self.at + found


def _record(window: _Window, skips: Skips) -> Record | None:
    """The record that begins here, or None: then it is counted, and the window stands at what may be the next."""
    window.fill(LONGEST_HEADER)
    offset, data, at = window.offset(), window.data, window.at
    if not OPENING.match(data, at):
        if not (window.broken and len(data) - at < LONGEST_OPENING):  # the rest of a broken member is counted already
            skips.skip("bytes that are no WARC record", offset, repr(data[at : at + 40]))
        window.pass_to_next(1)
        return None
    end_of_header = HEADER_END.search(data, at, at + LONGEST_HEADER)
    if end_of_header is None:
        if not window.broken:  # a broken member is counted already
            skips.skip("truncated record" if window.ended else "record header without an end", offset)
        window.pass_to_next(5)
        return None
    headers, size = _headers(data[at : end_of_header.start()]), end_of_header.end() - at
    length = _length(headers.get("content-length", ""))
    if length is not None and length <= LARGEST:
        window.fill(size + length + LONGEST_OPENING)
        data, begin = window.data, window.at + size
        if len(data) >= begin + length and _fits(window, begin + length, headers, data[begin : begin + length]):
            window.at = begin + length
            return Record(offset, headers, data[begin : begin + length])
    return _wrong_length(window, skips, offset, headers, size, length)


def _fits(window: _Window, end: int, headers: dict[str, str], body: bytes) -> bool:
    """Whether a record may end here: two line ends, another record or nothing; and, for text, none inside it."""
    behind = window.data[end : end + LONGEST_OPENING]
    if not behind.startswith(b"\r\n\r\n") and (rest := behind.lstrip(BLANK)) and not rest.startswith(b"WARC/"):
        return False
    return headers.get("warc-type") != "conversion" or b"\nWARC/" not in body or NEXT.search(body) is None


def _wrong_length(
    window: _Window, skips: Skips, offset: int, headers: dict[str, str], size: int, length: int | None
) -> Record | None:
    """The record up to where the next one begins. Only one that the end of the data cut is not kept."""
    found = window.find_next(size, size + LARGEST)
    ahead = len(window.data) - window.at
    if found is None and not window.ended:
        skips.skip("record too large", offset, f"Content-Length {length}, limit {LARGEST}")
        window.pass_to_next(size)
        return None
    if found is None and (window.broken or length is None or ahead - size < length):
        if not window.broken:  # a broken member is counted already
            skips.skip("truncated record", offset, f"{ahead - size} of {length} bytes")
        window.at = len(window.data)
        return None
    end = ahead if found is None else found
    body = window.data[window.at + size : window.at + end].rstrip(b"\r\n")
    window.at += end
    return Record(offset, headers, body, mended=True)


def _headers(block: bytes) -> dict[str, str]:
    """`name: value` lines; the first of a name counts, a line that begins with a blank goes on from the one before."""
    headers: dict[str, str] = {}
    name = ""
    for line in block.decode("utf-8", "replace").splitlines()[1:]:
        if line[:1] in (" ", "\t") and name:
            headers[name] = f"{headers[name]} {line.strip()}"
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.setdefault(name, value.strip())
    return headers


def _length(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
