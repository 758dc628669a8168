"""Training is deterministic, loses no text, and refuses a vocabulary with the number that works"""

from __future__ import annotations

import re

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from packtrain.errors import UserError
from packtrain.tokenizer import training
from packtrain.tokenizer.training import MAX_LINE_BYTES, train_tokenizer, training_lines

TEXT = ["A caravan of llamas packs 1 2 3 tokens\nover the mountains, through the valleys\n"] * 20


def test_the_same_text_gives_the_same_bytes_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_tokenizer(TEXT, 320)
    assert train_tokenizer(iter(TEXT), 320) == first
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert train_tokenizer(TEXT, 320) == first
    monkeypatch.setitem(training.SETTINGS, "num_threads", 1)  # the one byte that records it may differ, no piece may
    other = train_tokenizer(TEXT, 320)
    pieces = [sentencepiece.SentencePieceProcessor(model_proto=m) for m in (first, other)]  # pyright: ignore
    assert [pieces[0].id_to_piece(i) for i in range(320)] == [pieces[1].id_to_piece(i) for i in range(320)]


def test_digits_are_split_or_may_join_as_one_chooses() -> None:
    years = [f"in 19{n:02} and 20{n:02}\n" for n in range(40)] * 5
    split, joined = (
        sentencepiece.SentencePieceProcessor(model_proto=train_tokenizer(years, 275, split_digits=split))  # pyright: ignore
        for split in (True, False)
    )
    assert [p for p in split.encode("1917", out_type=str) if p != "\u2581"] == ["1", "9", "1", "7"]
    assert any("19" in piece for piece in joined.encode("1917", out_type=str))
    assert split.vocab_size() == joined.vocab_size()


def test_the_settings_are_the_published_ones() -> None:
    proto = sentencepiece_model_pb2.ModelProto.FromString(train_tokenizer(TEXT, 320))  # pyright: ignore
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    assert trainer.model_type == trainer.BPE and trainer.vocab_size == 320
    assert trainer.character_coverage == pytest.approx(0.99995)
    assert trainer.split_digits and trainer.byte_fallback and trainer.allow_whitespace_only_pieces
    assert trainer.max_sentence_length == 4192
    assert (trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id) == (0, 1, 2, -1)
    assert normalizer.name == "identity" and not normalizer.remove_extra_whitespaces and normalizer.add_dummy_prefix
    assert not trainer.input and not trainer.model_prefix, "no path of this machine may stand in the file"


def test_indentation_has_pieces_of_its_own() -> None:
    model = train_tokenizer(["if x:\n        return yes\n        return no\n"] * 50, 300)
    peer = sentencepiece.SentencePieceProcessor(model_proto=model)  # pyright: ignore[reportCallIssue]
    assert any(set(peer.id_to_piece(i)) == {"▁"} and len(peer.id_to_piece(i)) > 2 for i in range(259, 300))


def test_long_lines_are_cut_and_not_dropped() -> None:
    for text in ("word " * 5000, "é" * 9000, "漢字 " * 4000, "x" * 4193):
        lines = list(training_lines([text]))
        assert "".join(lines) == text
        assert max(len(line.encode()) for line in lines) <= MAX_LINE_BYTES


def test_a_reserved_character_costs_itself_and_not_its_line() -> None:
    assert list(training_lines(["good\0text▁here▅too\ud800end\n\n next"])) == [
        "good",
        "text",
        "here",
        "too",
        "end",
        " next",
    ]
    assert train_tokenizer(["caravan▅"] * 50, 268) == train_tokenizer(["caravan"] * 50, 268)


@pytest.mark.parametrize(
    ("text", "vocab_size", "kind"),
    [("hello world, how are you", 4096, "largest"), ("".join(map(chr, range(0x4E00, 0x4E90))), 300, "smallest")],
)
def test_a_vocabulary_that_does_not_fit_is_refused_with_one_that_does(text: str, vocab_size: int, kind: str) -> None:
    with pytest.raises(UserError, match=f"vocab_size={vocab_size}.*{kind}") as error:
        train_tokenizer([text], vocab_size)
    assert "\n" not in str(error.value)
    works = int(re.findall(r"\d+", str(error.value))[-1])
    assert len(train_tokenizer([text], works)) > 0
    with pytest.raises(UserError):
        train_tokenizer([text], works + 1 if kind == "largest" else works - 1)


@pytest.mark.parametrize("texts", [[], [""], ["\n \n", "\0"]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(UserError, match="no text"):
        train_tokenizer(texts, 300)
