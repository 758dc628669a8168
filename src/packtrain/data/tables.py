""".csv and .parquet → rows, as {column: value}, streaming; what is damaged is skipped and counted"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from packtrain.data.documents import HALF_PAIR
from packtrain.data.limits import BOMS, GUESSED, LONGEST_LINE, decode
from packtrain.data.step import Skips
from packtrain.errors import UserError

Row = dict[str, Any]


def rows(file: BinaryIO, suffix: str, columns: Sequence[str], skips: Skips) -> Iterator[tuple[int, Row]]:
    """(number of the row from 1, its values). `columns`: the first must be there, others are taken where they are."""
    if suffix == ".csv":
        yield from _csv(file, columns, skips)
    else:
        yield from _parquet(file, columns, skips)


def _csv(file: BinaryIO, columns: Sequence[str], skips: Skips) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(LONGEST_LINE)
    buffered = io.BufferedReader(file, GUESSED) if isinstance(file, io.RawIOBase) else file
    start = _start(buffered)
    encoding = _encoding(start)
    if encoding is None:
        return skips.skip("binary" if b"\0" in start else "encoding unknown", 0)
    whole = io.BufferedReader(_Joined(start, buffered))
    errors = "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    text = io.TextIOWrapper(whole, encoding=encoding, errors=errors, newline="")
    reader = csv.DictReader(_lines(text))
    number = 0
    try:
        known = reader.fieldnames or []
        if columns[0] not in known:
            return skips.skip(f"no column '{columns[0]}'", 0, f"columns: {', '.join(known)}")
        for row in reader:
            number += 1
            found = {column: row.get(column) for column in columns}
            if any(isinstance(value, str) and HALF_PAIR.search(value) for value in found.values()):
                skips.skip("row is not in the encoding of its file", number, encoding)
                continue
            yield number, found
    except _Endless:
        skips.skip("line too long", number, f"over {LONGEST_LINE >> 20} MiB; what follows is not read")
    except (csv.Error, EOFError, OSError, ValueError, zlib.error) as error:
        skips.skip("file broken off", number, str(error))


def _encoding(start: bytes) -> str | None:
    """Of a file that begins like this. A block may end in half a character, which must not make UTF-8 another."""
    if len(start) >= GUESSED and b"\0" not in start:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(start)
            return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"
        except UnicodeDecodeError:
            start = start[: start.rfind(b"\n") + 1] or start
    elif len(start) >= GUESSED:
        return next((encoding for mark, encoding in BOMS if start.startswith(mark)), None)
    found = decode(start)
    return found[1] if found else None


def _start(file: BinaryIO) -> bytes:
    """The first block; of a packed file that breaks off in it, what stands before: reading on tells of the break."""
    parts, size = [], 0
    try:
        while size < GUESSED and (part := getattr(file, "read1", file.read)(GUESSED - size)):
            parts.append(part)
            size += len(part)
    except (EOFError, OSError, zlib.error):
        pass
    return b"".join(parts)


class _Endless(Exception):
    pass


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LONGEST_LINE):
        if len(line) >= LONGEST_LINE:
            raise _Endless
        yield line


class _Joined(io.RawIOBase):
    """Bytes already read, then the rest of the file."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self.start, self.rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.start[: len(buffer)] or getattr(self.rest, "read1", self.rest.read)(len(buffer))
        self.start = self.start[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _parquet(file: BinaryIO, columns: Sequence[str], skips: Skips) -> Iterator[tuple[int, Row]]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError("reading .parquet needs pyarrow: pip install 'packtrain[data]'") from None
    number = 0
    try:
        table = parquet.ParquetFile(file)
        known = table.schema_arrow.names
        if columns[0] not in known:
            return skips.skip(f"no column '{columns[0]}'", 0, f"columns: {', '.join(known)}")
        for batch in table.iter_batches(batch_size=256, columns=[c for c in columns if c in known]):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        skips.skip("damaged parquet", number, str(error))
