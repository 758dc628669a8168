"""texts ─lines of at most 4 192 bytes→ SentencePiece BPE trainer ─→ the bytes of a tokenizer.model

The settings are those of the published LLaMA tokenizer. The bytes depend on the texts and the vocabulary size alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece

from packtrain.errors import UserError

MAX_LINE_BYTES = 4192
SETTINGS: dict[str, Any] = {
    "model_type": "bpe",
    "character_coverage": 0.99995,
    "split_digits": True,
    "byte_fallback": True,
    "allow_whitespace_only_pieces": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": True,
    "max_sentence_length": MAX_LINE_BYTES,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "num_threads": 16,  # stands in the model file, so it is fixed: the bytes must not depend on the machine
    "minloglevel": 2,
}
# The trainer drops a whole line for one of these: NUL, ▅ (its unknown), ▁ (its space). Cut there instead.
RESERVED = re.compile("[\0\u2581\u2585\n]+")
SURROGATES = re.compile("[\ud800-\udfff]")


def train_tokenizer(texts: Iterable[str], vocab_size: int, split_digits: bool = True) -> bytes:
    """The serialized SentencePiece model of `vocab_size` pieces; `split_digits` spells numbers digit by digit (LLaMA).

    Raises `UserError` where there is no text, or where the texts cannot fill the vocabulary (with the largest number
    that works) or have more different characters than it has room for (with the smallest).
    """
    lines = training_lines(texts)
    first = next(lines, None)
    if first is None:
        raise UserError("no text to train a tokenizer on: the documents are empty or all of them are held out")
    settings: dict[str, Any] = {**SETTINGS, "split_digits": split_digits}
    out = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
            sentence_iterator=_chain(first, lines), model_writer=out, vocab_size=vocab_size, **settings
        )
    except RuntimeError as error:
        raise _refusal(str(error), vocab_size) from None
    return out.getvalue()


def training_lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of the texts; a longer one is cut, at white space where there is some, rather than dropped."""
    for text in texts:
        for line in RESERVED.split(SURROGATES.sub("\n", text) if SURROGATES.search(text) else text):
            while len(line) > MAX_LINE_BYTES // 4 and len(line.encode()) > MAX_LINE_BYTES:
                head = line.encode()[:MAX_LINE_BYTES].decode(errors="ignore")
                space = head.rfind(" ", 1)
                end = space if space > len(head) // 2 else len(head)
                yield line[:end]
                line = line[end:]
            if line.strip():
                yield line


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _refusal(message: str, vocab_size: int) -> UserError:
    """SentencePiece's complaint as one line with the number that works."""
    if found := re.search(r"set it to a value <= (\d+)", message):
        return UserError(f"vocab_size={vocab_size}: too large for so little text; the largest that works is {found[1]}")
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return UserError(
            f"vocab_size={vocab_size}: too small for the characters of this text; the smallest that works is {found[1]}"
        )
    return UserError(f"vocab_size={vocab_size}: SentencePiece refuses: {' '.join(message.split())[:300]}")
