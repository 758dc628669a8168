"""your .txt, .md, .jsonl, .csv and .parquet files, here or at a URL → documents of the domain "text"

.txt .md (.gz)         one file is one document; beyond 10 000 characters it is cut at blank lines, so that a single
                       book has a held-out part. The pieces put together are the file again
.jsonl (.zst .gz)      one line is one document
.csv (.gz) .parquet    one row is one document; `text_column` its text, `metadata_columns` go along
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath, PurePosixPath
from typing import Any, BinaryIO

from packtrain.data import files, remote
from packtrain.data.documents import Document, read_stream
from packtrain.data.domain import Domain, Source
from packtrain.data.limits import TooLarge, decode, is_binary, read_all
from packtrain.data.step import AnyStep, DropEmpty, Skips
from packtrain.data.tables import rows

NAME = "text"
PIECE_CHARACTERS = 10_000
NEEDS = "a file, a folder or a URL of .txt, .md, .jsonl, .jsonl.zst, .csv or .parquet files"
NOT_KNOWN = "not .txt, .md, .jsonl, .csv or .parquet"


@dataclass(frozen=True)
class Parameters:
    """suffixes: the names of plain text in a folder; a file that is given by itself is read whatever its name.

    text_column: of .jsonl, .csv and .parquet. metadata_columns: of .csv and .parquet (a .jsonl line keeps all it has).
    max_mib: a plain file, unpacked, that is larger is skipped.
    """

    suffixes: tuple[str, ...] = (".txt", ".md")
    text_column: str = "text"
    metadata_columns: tuple[str, ...] = ()
    max_mib: int = 1024


def text_files(source: Source, parameters: Parameters = Parameters()) -> list[Source]:
    """Every file that is considered: the one given, or all below the folder but the hidden ones, sorted."""
    if isinstance(source, str):
        return [url for url in remote.find(source) if not files.hidden(PurePosixPath(remote.name_below(url, source)))]
    return [*files.find(source, lambda file: True, "the folder is empty")]


def adjust(source: Source, parameters: Parameters) -> Parameters:
    """A file that is given by itself is meant."""
    alone = remote.is_file(source) if isinstance(source, str) else source.is_file()
    if not alone:
        return parameters
    return replace(parameters, suffixes=(*parameters.suffixes, _kind(PurePosixPath(str(source)))[0]))


def read(source: Source, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The documents of one file; a split that a line says is kept."""
    path = PurePosixPath(name)
    suffix, packed = _kind(path)
    if suffix not in (".jsonl", ".csv", ".parquet", *parameters.suffixes) or (packed == ".zst" and suffix != ".jsonl"):
        return skips.skip(NOT_KNOWN)
    with remote.open_url(source) if isinstance(source, str) else source.open("rb") as raw:
        file: Any = gzip.GzipFile(fileobj=raw) if packed == ".gz" else raw
        if suffix == ".jsonl":
            for document in read_stream(file, path, skips.skip, parameters.text_column, name):
                yield replace(document, domain=NAME)
        elif suffix in (".csv", ".parquet"):
            yield from _table(file, name, suffix, parameters, skips)
        else:
            yield from _plain(file, name, parameters.max_mib << 20, skips)


def steps(parameters: Parameters) -> list[AnyStep]:
    return [DropEmpty()]


def pieces(text: str, limit: int = PIECE_CHARACTERS) -> list[str]:
    """`text` in pieces of at most `limit` characters, cut at blank lines, else lines, else anywhere. Joined: `text`."""
    parts = [part for part in re.split(r"(?<=\n\n)(?=[^\n])", text) if part]
    for pattern in (r"(?<=\n)", None):
        finer: list[str] = []
        for part in parts:
            if len(part) <= limit:
                finer.append(part)
            elif pattern:
                finer += [line for line in re.split(pattern, part) if line]
            else:
                finer += [part[i : i + limit] for i in range(0, len(part), limit)]
        parts = finer
    out: list[list[str]] = []
    length = 0
    for part in parts:
        if out and length + len(part) <= limit:
            out[-1].append(part)
            length += len(part)
        else:
            out.append([part])
            length = len(part)
    return ["".join(piece) for piece in out]


def _plain(file: BinaryIO, name: str, limit: int, skips: Skips) -> Iterator[Document]:
    try:
        raw = read_all(file, limit)
    except TooLarge:
        return skips.skip("too large", limit, f"over {limit >> 20} MiB; domain.max_mib allows more")
    except (OSError, EOFError, zlib.error) as error:
        return skips.skip("file broken off", None, str(error))
    if is_binary(raw):
        return skips.skip("binary", 0)
    if (found := decode(raw)) is None:
        return skips.skip("encoding unknown", 0)
    parts = pieces(found[0])
    metadata = {} if found[1].startswith("utf-8") else {"encoding": found[1]}
    for i, part in enumerate(parts or [""]):
        yield Document(name if len(parts) <= 1 else f"{name}#{i}", part, NAME, name, metadata=metadata)


def _table(file: BinaryIO, name: str, suffix: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    columns = [parameters.text_column, *parameters.metadata_columns]
    for number, row in rows(file, suffix, columns, skips):
        text = row.pop(parameters.text_column)
        if not isinstance(text, str):
            skips.skip("row has no text", number)
            continue
        metadata = {
            key: value if isinstance(value, (str, int, float, bool)) else str(value)
            for key, value in row.items()
            if value is not None
        }
        yield Document(f"{name}:{number}", text, NAME, name, metadata=metadata)


def _kind(path: PurePath) -> tuple[str, str]:
    """(.txt, .gz): what a file is and how it is compressed."""
    packed = path.suffix.lower()
    if packed in (".gz", ".zst"):
        return PurePosixPath(path.stem).suffix.lower(), packed
    return packed, ""


DOMAIN = Domain(NAME, Parameters, text_files, read, steps, NEEDS, urls=True, adjust=adjust, version=3)
