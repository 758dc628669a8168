""".csv and .parquet → rows, as {column: value}, streaming; what is damaged is skipped and counted"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from packtrain.data.limits import GUESSED, LONGEST_LINE, decode
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
    start = buffered.read(GUESSED)
    found = decode(start) or decode(start[: start.rfind(b"\n") + 1])  # the first block may end in half a character
    if found is None:
        return skips.skip("binary" if b"\0" in start else "encoding unknown", 0)
    whole = io.BufferedReader(_Joined(start, buffered))
    text = io.TextIOWrapper(whole, encoding=found[1], errors="replace", newline="")
    reader = csv.DictReader(text)
    number = 0
    try:
        known = reader.fieldnames or []
        if columns[0] not in known:
            return skips.skip(f"no column '{columns[0]}'", 0, f"columns: {', '.join(known)}")
        for row in reader:
            number += 1
            yield number, {column: row.get(column) for column in columns}
    except (csv.Error, EOFError, OSError, ValueError) as error:
        skips.skip("file broken off", number, str(error))


class _Joined(io.RawIOBase):
    """Bytes already read, then the rest of the file."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self.start, self.rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.start[: len(buffer)] or self.rest.read(len(buffer))
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
