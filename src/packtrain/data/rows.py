"""a file as its authors publish it → raw rows, each with the place it stands at

.jsonl .json .csv .tsv .parquet, each also under .gz (the table formats and .parquet apart); anything else is JSON
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packtrain.errors import UserError

Raw = dict[str, Any]
LONGEST_FIELD = 10_000_000
HALF = re.compile(r"\\u(d[89a-f][0-9a-f]{2})", re.I)  # how JSON writes one of a pair of surrogates


def read(path: Path, columns: tuple[str, ...] = ()) -> Iterator[tuple[str, Raw | UserError]]:
    """(place, row) in the order of the file; the place is for messages: `FILE:12`. A malformed row comes as the
    `UserError` that names its line, for the reader to raise or to count.

    Raises `UserError` for a file that cannot be read at all.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from _parquet(path)
        return
    text = _text(path)
    if name.endswith((".csv", ".tsv")):
        yield from _table(path, text, "\t" if name.endswith(".tsv") else ",", columns)
    elif name.endswith((".jsonl", ".ndjson")):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{path.name}:{number}", _row(path, number, line)
    else:
        yield from _json(path, text)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.name.endswith(".gz") else data
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}; get it anew") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1  # pyright: ignore[reportPossiblyUnboundVariable]
        raise UserError(f"{path}:{line}: not UTF-8 text; get the file anew or mend the line") from error


def _row(path: Path, number: int, line: str) -> Raw | UserError:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return UserError(f"{path}:{number}: no JSON ({error}); mend or remove the line")
    if not isinstance(row, dict):
        return UserError(f"{path}:{number}: expected an object {{…}}, found {type(row).__name__}; mend the line")
    if (half := HALF.search(line)) and _is_halved(row):
        return UserError(f"{path}:{number}: half a character (U+{half[1].upper()}); mend or remove the line")
    return row


def _is_halved(row: Raw) -> bool:
    """Whether one of a pair of surrogates stands in it: no text can hold it, and no tokenizer take it."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _json(path: Path, text: str) -> Iterator[tuple[str, Raw | UserError]]:
    """A list of objects, one object, or JSON lines under the name .json."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{path.name}:{number}", _row(path, number, line)
        return
    halves = HALF.search(text) is not None
    for number, row in enumerate(found if isinstance(found, list) else [found], 1):
        if not isinstance(row, dict):
            row = UserError(f"{path}: element {number} is no object {{…}}; mend the file")
        elif halves and _is_halved(row):
            row = UserError(f"{path}: element {number} holds half a character (half a surrogate pair); mend or drop it")
        yield f"{path.name}, element {number}", row


def _table(path: Path, text: str, delimiter: str, columns: tuple[str, ...]) -> Iterator[tuple[str, Raw | UserError]]:
    csv.field_size_limit(LONGEST_FIELD)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = list(columns)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield f"{path.name}:{rows.line_num}", UserError(f"{path}:{rows.line_num}: {error}; mend or remove the line")
            continue
        place = f"{path.name}:{rows.line_num}"
        if row is None:
            return
        if not row or row == list(columns):
            continue
        if not names:
            names = row
        elif len(row) == len(names):
            yield place, dict(zip(names, row, strict=True))
        else:
            wanted = f"{len(row)} columns, expected {len(names)} ({', '.join(names)})"
            yield place, UserError(f"{path}:{rows.line_num}: {wanted}; mend or remove the line")


def _parquet(path: Path) -> Iterator[tuple[str, Raw | UserError]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(f"{path}: reading .parquet needs pyarrow: pip install 'packtrain[data]'") from error
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise UserError(f"{path}: no parquet file ({' '.join(str(error).split())}); get it anew") from error
    try:
        rows = table.to_pylist()
    except UnicodeDecodeError:  # text is read by its writer's word: which row is it?
        rows = [_slice(path, table, number) for number in range(table.num_rows)]
    for number, row in enumerate(rows, 1):
        yield f"{path.name}, row {number}", row


def _slice(path: Path, table: Any, number: int) -> Raw | UserError:
    try:
        return table.slice(number, 1).to_pylist()[0]
    except UnicodeDecodeError:
        return UserError(f"{path}, row {number + 1}: not UTF-8 text; get the file anew or mend the row")
