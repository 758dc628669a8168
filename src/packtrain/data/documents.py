"""Document ─DocumentWriter→ <split>-00000.jsonl.zst ─read_documents→ Document. Free of torch.

One document is one JSON line. The same documents give the same bytes; a directory appears whole or not at all
(`publish`). Reading is tolerant of plain `.jsonl`, missing fields and unknown ones, but never silently skips a line.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import zstandard

from packtrain.data.limits import LONGEST_LINE, blocks_of, lines
from packtrain.errors import Failure, UserError

SUFFIXES = (".jsonl", ".jsonl.zst")
FILE_CHARACTERS = 256_000_000  # a new file is begun after so many characters of JSON
NO_SPLIT = "documents"
PROVENANCE, SOURCES = "provenance", "sources.json"  # of a pack: provenance/DOMAIN/*.jsonl.zst hold no documents
NOT_INPUT = re.compile(r"dropped-\d{5}\.jsonl\.zst")  # what `prepare` wrote down as dropped is not read with the rest
HALF_PAIR = re.compile("[\ud800-\udfff]")  # JSON can spell them, UTF-8 cannot


@dataclass(frozen=True)
class Document:
    """One text and where it is from. `split` is "train", "held_out", or None: then packing decides by the id's hash."""

    id: str
    text: str
    domain: str
    source: str
    url: str | None = None
    language: str | None = None
    licence: str | None = None
    split: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


KNOWN = {f.name for f in fields(Document)}


def key_number(key: str) -> int:
    """A name as a number in [0, 2^64) that looks like chance."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def split_of(key: str, held_out: float) -> str:
    """By the hash of `key`: stable when documents are added, and a larger share keeps the smaller one's documents."""
    return "held_out" if key_number(key) < held_out * 2**64 else "train"


def split_in(document: Document, held_out: float) -> str:
    """The split that the document says, else the one of its id."""
    return document.split or split_of(document.id, held_out)


class DocumentWriter:
    """Writes documents into `directory`, one series of files per split; a context manager.

    train-00000.jsonl.zst, held_out-00000.jsonl.zst, and documents-00000.jsonl.zst for those without a split; or, with
    `single`, one file of that name for all.
    """

    def __init__(self, directory: Path, single: str | None = None) -> None:
        self.directory, self.single = directory, single
        directory.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, _Series] = {}

    def write(self, document: Document) -> None:
        name = self.single or document.split or NO_SPLIT
        if name not in self._files:
            self._files[name] = _Series(self.directory, name, endless=self.single is not None)
        values = {k: v for k, v in asdict(document).items() if v is not None and v != {}}
        line = json.dumps(values, ensure_ascii=False, sort_keys=True)
        if not line.isascii() and HALF_PAIR.search(line):
            line = HALF_PAIR.sub("\ufffd", line)
        self._files[name].write(f"{line}\n")

    def close(self) -> None:
        for series in self._files.values():
            series.close()

    def __enter__(self) -> DocumentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Series:
    """name-00000.jsonl.zst, name-00001.jsonl.zst, …"""

    def __init__(self, directory: Path, name: str, endless: bool = False) -> None:
        self.endless = endless
        self.directory, self.name, self.number, self.characters = directory, name, 0, 0
        self._open()

    def _open(self) -> None:
        path = self.directory / f"{self.name}-{self.number:05d}.jsonl.zst"
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        self._file = io.TextIOWrapper(
            compressor.stream_writer(path.open("wb"), closefd=True), encoding="utf-8", newline="\n"
        )

    def write(self, line: str) -> None:
        if self.characters > FILE_CHARACTERS and not self.endless:
            self._file.close()
            self.number, self.characters = self.number + 1, 0
            self._open()
        self._file.write(line)
        self.characters += len(line)

    def close(self) -> None:
        self._file.close()


def document_files(inputs: str | Path | Iterable[str | Path]) -> list[Path]:
    """The .jsonl and .jsonl.zst files under `inputs` (a file, a directory or several), sorted within each.

    Raises `UserError` where an input is missing or holds none.
    """
    paths = [Path(inputs)] if isinstance(inputs, (str, Path)) else [Path(p) for p in inputs]
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"input={path}: no such file or directory")
        here = [path]
        if path.is_dir():
            packed = {sources.parent for sources in path.rglob(f"{PROVENANCE}/{SOURCES}")}
            here = sorted(p for p in path.rglob("*") if _is_documents(p, path) and not packed & {*p.parents})
        if not here:
            raise UserError(f"input={path}: no .jsonl or .jsonl.zst files here; make them with: packtrain prepare")
        found += here
    if twice := [path for path, count in Counter(path.resolve() for path in found).items() if count > 1]:
        raise UserError(f"input: {twice[0]} is there twice ({len(twice)} files are); name every file and folder once")
    return found


def _is_documents(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.name.endswith(SUFFIXES) and path.is_file() and not hidden and not NOT_INPUT.fullmatch(path.name)


def read_documents(inputs: str | Path | Iterable[str | Path]) -> Iterator[Document]:
    """Every document of `inputs`, file after file. Raises `Failure` naming file and line where one cannot be read."""
    for path in document_files(inputs):
        yield from read_file(path)


class BadLine(UserError):
    """A line that holds no document; `reason` in two words, to be counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_file(path: Path, drop: Callable[[str, int], None] | None = None) -> Iterator[Document]:
    """The documents of one file. A line needs `text`; `id` defaults to file:line, `domain` to the file's folder.

    A line that holds none raises `BadLine` naming file and line, or is given to `drop`, by its reason and its number,
    and passed over.
    """
    with path.open("rb") as raw:
        yield from read_stream(raw, path, drop)


def read_stream(
    raw: BinaryIO, path: PurePath, drop: Callable[[str, int], None] | None = None, column: str = "text", name: str = ""
) -> Iterator[Document]:
    """The documents of an open file; `column` holds the text, `name` is what ids begin with, by default the file's."""
    number = 0
    try:
        for line in lines(_decompressed(raw) if path.name.endswith(".zst") else blocks_of(raw)):
            number += 1
            if line is not None and not line.strip():
                continue
            try:
                document = _document(line, path, number, column, name or path.name)
            except BadLine as error:
                if drop is None:
                    raise
                drop(error.reason, number)
            else:
                yield document
    except (zstandard.ZstdError, OSError, EOFError, zlib.error) as error:
        if drop is not None and isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's fault, not the file's: to be tried again
        if drop is None:
            raise Failure(f"{path}: cannot be read after line {number} ({error}); make the file again") from None
        drop("file broken off", number)


def _decompressed(raw: BinaryIO) -> Iterator[bytes]:
    """The frames of a zstd file; raises ZstdError where it ends in the middle (zstandard's own reader is silent)."""
    decoder, begun = zstandard.ZstdDecompressor().decompressobj(), False
    while block := raw.read(1 << 13):  # a block of a bomb becomes 32 000 times its size: 256 MB at most
        while block:
            begun = True
            yield decoder.decompress(block)
            if not decoder.eof:
                break
            block = decoder.unused_data
            decoder, begun = zstandard.ZstdDecompressor().decompressobj(), False
    if begun:
        raise zstandard.ZstdError("the file is truncated")


def _document(line: bytes | None, path: PurePath, number: int, column: str, name: str) -> Document:
    if line is None:
        raise BadLine("line too long", f"{path}: line {number} is over {LONGEST_LINE >> 20} MiB; cut it")
    try:
        values = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        message = f"{path}: line {number} is not JSON ({error}); make the file again or mend the line"
        raise BadLine("line is not JSON", message) from None
    if isinstance(values, dict) and column != "text":
        values["text"] = values.pop(column, None)
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise BadLine("line has no text", f'{path}: line {number} has no text; each line needs a "{column}" field')
    if HALF_PAIR.search(values["text"]):
        message = f"{path}: line {number} has half a surrogate pair, which is no Unicode text; mend the line"
        raise BadLine("line is not Unicode", message)
    known = {k: v for k, v in values.items() if k in KNOWN}
    known["id"] = str(known.get("id") or f"{name}:{number}")
    known["domain"] = str(known.get("domain") or path.parent.name or "text")
    known["source"] = str(known.get("source") or path.name)
    if known.get("split") not in (None, "train", "held_out"):
        message = f"{path}: line {number} has split={known['split']!r}; known: train, held_out"
        raise BadLine("split is neither train nor held_out", message)
    extra = {k: v for k, v in values.items() if k not in KNOWN}
    for key in ("url", "language", "licence"):  # {"language": {"en": 0.9}} is of others' making: not lost, not counted
        if not isinstance(known.get(key), str) and known.get(key) is not None:
            extra[key] = known.pop(key)
    metadata = known.get("metadata")
    known["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **extra}
    return Document(**known)
