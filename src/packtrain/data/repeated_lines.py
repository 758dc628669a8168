"""documents ─lines → normalised → 64-bit hash─ per file → merge: hashes of more than one document → those lines cut

CCNet (Wenzek et al., 2019, section 3.1): lower case, numbers become 0, punctuation and accents go, the first 64 bits of
SHA-1. **Every** copy of a repeated line goes, the first too: menus, cookie notices and licences have no good copy.
`keep=first` leaves the first one in the order of the files, as later pipelines do (datatrove's, in benchmarks.prepare).
A line twice within one document, a refrain, is not repeated across documents and stays.

Merging is bounded in memory whatever the number of lines (hash_ranges).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from packtrain.data.documents import Document, key_number
from packtrain.data.hash_ranges import ALL, ENTRY, Decision, Shard, gather, merge, repeated
from packtrain.data.step import Tally
from packtrain.errors import UserError

DELETE = bytes(c for c in range(128) if not chr(c).isalnum() and c != 32)
LOWER = bytes(ord("0") if chr(c).isdigit() and c < 128 else ord(chr(c).lower()) if c < 128 else c for c in range(256))
NOT_WORDS = re.compile(r"[^\w ]|_")
DIGITS = re.compile(r"\d+")
ASCII_DIGITS = re.compile(rb"0+")


def normalised(line: str) -> bytes:
    """What two lines that a reader would call the same have in common; b"" where there is neither letter nor number."""
    if line.isascii():
        plain = line.encode().translate(LOWER, DELETE)
    else:
        letters = unicodedata.normalize("NFD", line.lower())
        letters = "".join(c for c in letters if unicodedata.category(c) != "Mn")
        letters = DIGITS.sub("0", NOT_WORDS.sub("", letters))
        plain = letters.encode("utf-8", "replace")
    return b" ".join(ASCII_DIGITS.sub(b"0", plain).split())


def line_hash(line: str, salt: bytes = b"") -> int:
    """64 bits of a line; 0 where it normalises to nothing."""
    plain = normalised(line)
    return int.from_bytes(hashlib.sha1(salt + plain, usedforsecurity=False).digest()[:8], "big") if plain else 0


@dataclass(frozen=True)
class RepeatedLines:
    """Cuts the lines that more than one document of a group has.

    keep             of the copies: none, as CCNet, or the first
    group            run: all input is one group; folder: the files of one folder are; file: each file by itself.
                     CCNet's groups were 50 files of 1 600, one dump at a time
    min_characters   a document with fewer characters left is dropped (300 in CCNet)
    """

    keep: Literal["none", "first"] = "none"
    group: Literal["run", "folder", "file"] = "run"
    min_characters: int = 300
    name: ClassVar[str] = "repeated lines"

    def __post_init__(self) -> None:
        if self.min_characters < 0:
            raise UserError(f"repeated_lines.min_characters={self.min_characters}: expected 0 or more")

    def _salt(self, document: Document) -> bytes:
        if self.group == "run":
            return b""
        source = document.source if self.group == "file" else document.source.rpartition("/")[0]
        return hashlib.sha1(source.encode("utf-8", "replace"), usedforsecurity=False).digest()

    @property
    def _dtype(self) -> np.dtype:
        """Of a row: a hash, and with `keep=first` whose it is."""
        return ENTRY if self.keep == "first" else np.dtype(np.uint64)

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        """The first two rows of each hash, of two documents."""
        return gather(((self._hashes(document), key_number(document.id)) for document in documents), self._dtype)

    def _hashes(self, document: Document) -> np.ndarray:
        """Of its lines, each once."""
        salt = self._salt(document)
        found = {line_hash(line, salt) for line in document.text.split("\n")} - {0}
        return np.fromiter(found, np.uint64, len(found))

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        merge(parts, output, repeated, self._dtype, shard)

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            salt, lines = self._salt(document), document.text.split("\n")
            hashes = np.array([line_hash(line, salt) for line in lines], np.uint64)
            again, rows = decision.find(hashes)
            if rows.dtype.names:
                again &= rows["owner"] != key_number(document.id)
            empty = hashes == 0
            tally.cut("repeated line", int(again.sum()))
            tally.cut("line without words", int((empty & np.array([bool(x.strip()) for x in lines])).sum()))
            left = [line for line, cut in zip(lines, again | empty, strict=True) if not cut]
            text = "\n".join(left)
            if not left:
                tally.drop(document, "nothing but repeated lines")
            elif len(text) < self.min_characters:
                tally.drop(document, "too short without repeated lines" if again.any() else "too short")
            else:
                yield tally.change(document, replace(document, text=text))
