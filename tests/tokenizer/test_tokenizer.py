"""The tokenizer gives every text back exactly, and is otherwise SentencePiece's own"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sentencepiece

from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import STAND_INS, Tokenizer
from packtrain.tokenizer.training import train_tokenizer

TEXT = [
    "The LLaMA herd packs 1234567890 tokens, and every llama carries 42 of them.",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "Grüße aus München; où est la bibliothèque? <s> is only text </s>.",
] * 5
NASTY = [
    "", " ", "   ", "a", " a", "a ", "  a  b  ", "\n", "\r\n", "a\r\nb\rc\n", "\t\tx\t", "\0", "a\0b\0", "\x01\x1f\x7f",
    "é", "e\u0301", "\u0301", "ﬁ", "½", "Å\u212b", "12 345.67", "٠١٢٣",
    "<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "⁇", " ⁇ ",
    "▁", "▁▁", " ▁ ", "a▁b", "▁a ▁", "▁\0▁", "▁\ufdd0", "▁" + "".join(STAND_INS[:-1]), "▅",
    "\ufeffa", "a\u200bb\u200d",
    "\u2028\u2029\x85\xa0", "한국어 日本語 中文 ไทย", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "👩‍👩‍👧‍👦🏽",
    "\U0010ffff", "\ufffd\ufffe\uffff", "ב\u202eא\u202c",
    "x" * 5000, " " * 300, "▁" * 100, "\n" * 50,
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(train_tokenizer(TEXT, 400))
    return path


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    return Tokenizer(path)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_round_trip_of_nasty_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_batch([text, "x"])[0] == ids
    assert tokenizer.decode([tokenizer.bos_id, *ids, tokenizer.eos_id]) == text
    assert not {tokenizer.bos_id, tokenizer.eos_id, 0}.intersection(ids), "text must never become a control token"


def test_round_trip_of_every_plane(tokenizer: Tokenizer) -> None:
    for plane in range(17):
        codes = range(plane << 16, (plane + 1) << 16, 61)
        text = "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_round_trip_of_random_text(tokenizer: Tokenizer) -> None:
    chance = random.Random(0)
    letters = [*" \n\t\r\0▁<s>aé\u0301漢😀0123", *STAND_INS[:3]]
    for _ in range(500):
        text = "".join(chance.choices(letters, k=chance.randrange(30)))
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ordinary_text_is_encoded_as_sentencepiece_does(tokenizer: Tokenizer, path: Path) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_file=str(path))  # pyright: ignore[reportCallIssue]
    for text in [*TEXT[:3], *(t for t in NASTY if "▁" not in t)]:
        assert tokenizer.encode(text) == peer.encode(text)
        assert tokenizer.decode(peer.encode(text)) == peer.decode(peer.encode(text))


def test_ids_are_llamas(tokenizer: Tokenizer, path: Path) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_file=str(path))  # pyright: ignore[reportCallIssue]
    assert (peer.unk_id(), peer.bos_id(), peer.eos_id(), peer.pad_id()) == (0, 1, 2, -1)
    assert [peer.id_to_piece(3 + b) for b in range(256)] == [f"<0x{b:02X}>" for b in range(256)]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (1, 2, 400)


def test_every_digit_is_its_own_piece(tokenizer: Tokenizer, path: Path) -> None:
    peer = sentencepiece.SentencePieceProcessor(model_file=str(path))  # pyright: ignore[reportCallIssue]
    pieces = [peer.id_to_piece(i) for i in range(3 + 256, 400)]
    assert not [p for p in pieces if any(c.isdigit() for c in p) and len(p) > 1]
    for number in ("0", "1234567890", "v2.0.17", "x10y20"):
        digits = [peer.id_to_piece(i) for i in tokenizer.encode(number) if any(map(str.isdigit, peer.id_to_piece(i)))]
        assert digits == [c for c in number if c.isdigit()]


def test_half_a_surrogate_pair_is_refused_by_its_place(tokenizer: Tokenizer) -> None:
    for text in ("ab\ud800c", "▁b\ud800c"):
        with pytest.raises(UserError, match=r"character 2.*D800"):
            tokenizer.encode(text)
    with pytest.raises(UserError, match="D800"):
        tokenizer.encode_batch(["fine", "\ud800"])


def test_the_fingerprint_is_the_files_sha256(tokenizer: Tokenizer, tmp_path: Path) -> None:
    other = tmp_path / "other.model"
    other.write_bytes(train_tokenizer(TEXT, 390))
    assert len(tokenizer.fingerprint) == 64
    assert Tokenizer(other).fingerprint != tokenizer.fingerprint == Tokenizer(tokenizer.path).fingerprint


def test_a_missing_file_and_a_file_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Tokenizer(tmp_path / "none.model")
    (tmp_path / "x.model").write_text("no model")
    with pytest.raises(UserError, match="not a SentencePiece model"):
        Tokenizer(tmp_path / "x.model")
