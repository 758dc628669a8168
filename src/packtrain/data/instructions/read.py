"""data.path → rows → conversations, and a fingerprint of what was read

a file   .jsonl .json .parquet, each also .gz      its bytes are the fingerprint
a name   ORGANISATION/SET of the Hugging Face hub  its rows are
a folder as one downloads it from there            its rows are
python   questions about the running Python        they are
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packtrain.data.hub import hub_rows
from packtrain.data.instructions.config import InstructionConfig
from packtrain.data.instructions.formats import Format, conversations, detect
from packtrain.data.instructions.python_questions import questions
from packtrain.data.manifest import file_sha256
from packtrain.data.rows import Raw, read
from packtrain.errors import UserError
from packtrain.tokenizer.template import ChatTemplate, Turn

PYTHON = "python"
FILES = (".jsonl", ".json", ".ndjson", ".parquet", ".gz", ".csv", ".tsv")


@dataclass(frozen=True)
class Instructions:
    """conversations: each a list of turns. sha256: of what they were read from. bad: the rows that were left out."""

    conversations: list[list[Turn]]
    format: Format
    sha256: str
    bad: tuple[str, ...]


def read_instructions(config: InstructionConfig, template: ChatTemplate) -> Instructions:
    """Raises `UserError`: no such file, no known format, a bad row (with its line) unless those are dropped, no row."""
    rows, sha256 = _rows(config)
    format: Format | None = None if config.format == "auto" else config.format
    found: list[list[Turn]] = []
    bad: list[str] = []
    for place, row in rows:
        try:
            if isinstance(row, UserError):
                raise row
            format = format or detect(row, place)
            found += conversations(row, place, format, template)
        except UserError as error:
            if config.bad_rows == "refuse":
                raise
            bad.append(str(error))
    if not found or format is None:
        more = f"; the first of {len(bad)} bad rows: {bad[0]}" if bad else ""
        raise UserError(f"data.path={config.path}: holds no instruction{more}")
    return Instructions(found, format, sha256, tuple(bad))


def _rows(config: InstructionConfig) -> tuple[Iterator[tuple[str, Raw | UserError]], str]:
    path = Path(config.path)
    if path.is_file():
        return read(path), file_sha256(path)
    if config.path == PYTHON:
        return _numbered(list(questions()), f"Python {platform.python_version()}")
    if not path.is_dir() and (path.suffix in FILES or not re.fullmatch(r"[\w.-]+/[\w.-]+", config.path)):
        raise UserError(
            f"data.path={config.path}: no such file; give a .jsonl, .json or .parquet file, NAME/SET, or python"
        )
    listed = list(hub_rows(config.path, None, config.split, "data.path", "give a file: data.path=FILE.jsonl"))
    return _numbered(listed, f"{config.path} {config.split}")


def _numbered(listed: list[Raw], where: str) -> tuple[Iterator[tuple[str, Raw | UserError]], str]:
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True, default=str).encode()).hexdigest()
    return ((f"{where}, row {number}", row) for number, row in enumerate(listed, 1)), digest
