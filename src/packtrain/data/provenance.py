"""which document every packed token is from: PACK/provenance/<domain>/<split>-<unit>.jsonl.zst and sources.json

A line for each document, in the order of the chunks `chunk-<unit>-*.bin`: [id, source, URL, bytes of text, file]. Where
a document's tokens begin stands in its chunk, so token → document → raw file → the steps of the file's report.
sources.json holds of every file of documents how it was prepared: settings, code, the steps in order.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from packtrain.data.documents import PROVENANCE, SOURCES, Document
from packtrain.data.prepare import read_report
from packtrain.errors import Failure, UserError

FOLDER = PROVENANCE


@dataclass(frozen=True)
class Entry:
    """A packed document. `bytes`: of its UTF-8 text; `file`: the file of documents that it was packed from."""

    id: str
    source: str
    url: str | None
    bytes: int
    file: str


class ProvenanceWriter:
    """Writes one unit's entries of one domain and split."""

    def __init__(self, path: Path, parts: int = 2) -> None:
        self.parts = parts
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = zstandard.ZstdCompressor(level=3).stream_writer(path.open("wb"), closefd=True)
        self._file = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")

    def add(self, document: Document, file: Path, text_bytes: int) -> None:
        self.write(Entry(document.id, document.source, document.url, text_bytes, name_of(file, self.parts)))

    def write(self, entry: Entry) -> None:
        self._file.write(json.dumps([entry.id, entry.source, entry.url, entry.bytes, entry.file]) + "\n")

    def close(self) -> None:
        self._file.close()


def name_of(file: Path, parts: int = 2) -> str:
    """With its folder; not the whole path, for the same documents elsewhere are the same pack."""
    return "/".join([*file.resolve().parent.parts, file.name][-parts:])


def parts_of(files: Sequence[Path]) -> int:
    """As many parts of their paths as it takes that no two of `files` have the same name: 2023/c4/… and 2024/c4/…"""
    most = max((len(file.resolve().parts) for file in files), default=2)
    return next((n for n in range(2, most) if len({name_of(file, n) for file in files}) == len(files)), most)


def unit_of(chunk: str) -> int:
    """`chunk-12-0.bin` → 12."""
    return int(chunk.split("-")[1])


def entries(pack: Path, domain: str, split: str, unit: int) -> Iterator[Entry]:
    """A unit's documents in order. Raises `UserError` where the pack has no provenance, `Failure` when damaged."""
    path = pack / FOLDER / domain / f"{split}-{unit}.jsonl.zst"
    if not path.exists():
        raise UserError(f"shards={pack}: nothing is known of where its tokens are from; pack it again, overwrite=true")
    try:
        with path.open("rb") as raw:
            stream = zstandard.ZstdDecompressor().stream_reader(raw)
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                yield Entry(*json.loads(line))
    except (ValueError, TypeError, zstandard.ZstdError) as error:
        raise Failure(f"{path}: damaged ({error}); pack again with overwrite=true") from None


def write_sources(folder: Path, files: Sequence[Path]) -> None:
    """How each file of documents was prepared, from the report beside it; null where there is none."""
    known: dict[str, Any] = {}
    reports: dict[Path, Any] = {}
    parts = parts_of(files)
    for file in files:
        if file.parent not in reports:
            report = read_report(file.parent)
            reports[file.parent] = report and {
                "settings": report.get("settings"), "steps": [step["name"] for step in report.get("steps", [])],
            }  # fmt: skip
        known[name_of(file, parts)] = reports[file.parent]
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / SOURCES).write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def sources(pack: Path) -> dict[str, Any]:
    """File of documents → how it was prepared."""
    path = pack / FOLDER / SOURCES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
