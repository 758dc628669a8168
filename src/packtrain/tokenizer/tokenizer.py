"""text ─SentencePiece BPE→ token ids ─→ the very same text

Exact both ways for every text that UTF-8 can write. SentencePiece writes a space as ▁ (U+2581), so a real ▁ would come
back as a space: it is carried through as a character that the text does not hold and then spelled in its three bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece

from packtrain.errors import UserError

SPACE = "\u2581"
# Noncharacters: Unicode promises never to assign them, no vocabulary holds them, so they are spelled in bytes.
STAND_INS = [chr(c) for c in range(0xFDD0, 0xFDF0)] + [chr(plane << 16 | 0xFFFF) for plane in range(17)]


class Tokenizer:
    """A SentencePiece model file. Ids are LLaMA's: 0 unknown, 1 BOS, 2 EOS, 3 … 258 the bytes, then the pieces."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(
                f"tokenizer={path}: no such file; make one with: packtrain tokenizer input=DIR output={path}"
            )
        self._bytes = self.path.read_bytes()
        self._sp: Any = sentencepiece.SentencePieceProcessor()
        try:
            self._sp.LoadFromSerializedProto(self._bytes)
        except RuntimeError:
            raise UserError(f"tokenizer={path}: not a SentencePiece model") from None
        self.vocab_size: int = self._sp.vocab_size()
        self.bos_id: int = self._sp.bos_id()
        self.eos_id: int = self._sp.eos_id()
        if self.bos_id < 0 or self.eos_id < 0:
            raise UserError(f"tokenizer={path}: has no BOS or no EOS, so documents could not be told apart")
        self._byte_ids: list[int] = [self._sp.piece_to_id(f"<0x{b:02X}>") for b in range(256)]
        if self._sp.unk_id() in self._byte_ids:
            raise UserError(f"tokenizer={path}: has no byte fallback, so unknown characters would be lost")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the model file: equal fingerprints, equal token ids."""
        return hashlib.sha256(self._bytes).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without BOS and EOS. Raises `UserError` for half a surrogate pair, which is no text."""
        if SPACE in text:
            return self._encode_with_space_symbol(text)
        try:
            return self._sp.encode(text)
        except RuntimeError:
            raise self._not_text(text) from None

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """`encode` of each text."""
        if any(SPACE in text for text in texts):
            return [self.encode(text) for text in texts]
        try:
            return self._sp.encode(list(texts), num_threads=threads)
        except (RuntimeError, TypeError):
            return [self.encode(text) for text in texts]  # names the text that is none

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; BOS, EOS and unknown have none."""
        control = {self.bos_id, self.eos_id, self._sp.unk_id()}
        return self._sp.decode([int(i) for i in ids if int(i) not in control])

    def _encode_with_space_symbol(self, text: str) -> list[int]:
        stand_in = next((c for c in STAND_INS if c not in text and self._is_unknown(c)), None)
        if stand_in is None:
            raise UserError("a text holds ▁ beside every noncharacter of Unicode: it is no text, leave it out")
        wanted = [self._byte_ids[b] for b in stand_in.encode()]
        symbol = [self._byte_ids[b] for b in SPACE.encode()]
        ids, out, i = self.encode(text.replace(SPACE, stand_in)), [], 0
        while i < len(ids):
            if ids[i : i + len(wanted)] == wanted:
                out += symbol
                i += len(wanted)
            else:
                out.append(ids[i])
                i += 1
        return out

    def _is_unknown(self, character: str) -> bool:
        return self._sp.piece_to_id(character) == self._sp.unk_id()

    @staticmethod
    def _not_text(text: str) -> UserError:
        at = next((i for i, c in enumerate(text) if 0xD800 <= ord(c) < 0xE000), 0)
        return UserError(
            f"character {at} of a text is half a surrogate pair (U+{ord(text[at]):04X}); mend or drop the text"
        )
