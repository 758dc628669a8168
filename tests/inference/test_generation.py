"""inference/generation.py: text comes in whole characters, in the model's own words, and the same again for a seed"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator

import pytest
import sentencepiece
import torch

from packtrain.errors import UserError
from packtrain.inference.batch import generate_ids
from packtrain.inference.decoder import Decoder
from packtrain.inference.generation import complete, generate, stream
from packtrain.inference.sampling import penalised
from packtrain.inference.settings import GenerationConfig
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

GREEDY = GenerationConfig(max_new_tokens=12, temperature=0.0)


class Bytes:
    """Every byte a token (plus three), as byte fallback has it."""

    bos_id, eos_id = 1, 2

    def encode(self, text: str) -> list[int]:
        return [byte + 3 for byte in text.encode()]

    def decode(self, ids: list[int]) -> str:
        return bytes(i - 3 for i in ids if i > 2).decode(errors="replace")


class Pieces:
    """A real SentencePiece model, which marks the space before a word and drops the first of a text."""

    bos_id, eos_id = 1, 2

    def __init__(self) -> None:
        stream = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
            sentence_iterator=iter(["the pack train carries the tokens over the hills", "a llama packs light"] * 50),
            model_writer=stream,
            model_type="bpe",
            vocab_size=330,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            minloglevel=2,
        )
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())

    def encode(self, text: str) -> list[int]:
        return self.processor.encode(text)

    def decode(self, ids: list[int]) -> str:
        return self.processor.decode(ids)


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return Pieces()


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.set_num_threads(1)
    config = ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=259, max_sequence_length=24)
    return spread(initialise(Llama(config), seed=0))


def spread(model: Llama) -> Llama:
    with torch.no_grad():
        model.output.weight.mul_(50)  # an untrained model is indifferent: give it opinions
        model.tok_embeddings.weight.mul_(20)
    return model.eval()


@pytest.mark.parametrize("text", ["naïve 漢字 🦙 done", "\ufffd kept", "ends in \ufffd", "\u0000 and\r\n"])
def test_a_character_is_emitted_once_its_last_byte_has_come(text: str) -> None:
    codec = Bytes()
    got = list(stream(iter(codec.encode(text)), codec.encode("prompt: "), codec))
    assert "".join(got) == text
    whole = [piece for piece in got if "\ufffd" not in piece]
    assert all(piece in text for piece in whole)
    if "\ufffd" not in text:
        assert got == list(text), "one piece a character, none before it is whole"


def test_bytes_that_never_become_a_character_are_not_swallowed() -> None:
    codec = Bytes()
    broken = [byte + 3 for byte in b"ab\xf0\x9f"]
    assert "".join(stream(iter(broken), [], codec)) == codec.decode(broken) != "ab"


@pytest.mark.parametrize("prompt", ["the pack", "the pack ", "", "a llama\n", "漢"])
@pytest.mark.parametrize("new", [" train carries", "ing 🦙 light", "  twice the\n\nlines", "漢字"])
def test_pieces_are_what_decoding_the_whole_adds_to_the_prompt(pieces: Pieces, prompt: str, new: str) -> None:
    prompt_ids = pieces.encode(prompt)
    new_ids = pieces.encode("x" + new)[pieces.encode("x" + new).index(pieces.encode("x")[-1]) + 1 :]
    got = "".join(stream(iter(new_ids), prompt_ids, pieces))
    assert prompt + got == pieces.decode(prompt_ids + new_ids)
    if prompt:
        assert got == new, "the space before the first new word stays"


def test_greedy_text_is_the_argmax_of_the_whole_context(model: Llama) -> None:
    codec = Bytes()
    ids = [1, *codec.encode("ab")]
    for _ in range(GREEDY.max_new_tokens):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert 2 not in ids
    assert "".join(generate(model, codec, "ab", GREEDY)) == codec.decode(ids)[2:]


def test_one_candidate_equals_greedy(model: Llama) -> None:
    one = dataclasses.replace(GREEDY, temperature=2.0, top_k=1)
    assert list(generate(model, Bytes(), "ab", one)) == list(generate(model, Bytes(), "ab", GREEDY))


def test_a_seed_gives_the_same_text_and_another_seed_another(model: Llama) -> None:
    config = GenerationConfig(max_new_tokens=20, temperature=2.0, seed=1)
    texts = ["".join(generate(model, Bytes(), "ab", dataclasses.replace(config, seed=s))) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_end_of_a_document_ends_the_text() -> None:
    config = ModelConfig(dim=32, n_layers=1, n_heads=2, vocab_size=259, max_sequence_length=24)
    model = spread(initialise(Llama(config), seed=0))
    logits = model(torch.tensor([[1, *Bytes().encode("a")]]))[0, -1]
    swap = [int(logits.argmax()), Bytes.eos_id]
    with torch.no_grad():
        model.output.weight[swap] = model.output.weight[swap[::-1]].clone()
    assert list(generate(model, Bytes(), "a", GREEDY)) == []


def test_a_prompt_longer_than_the_context_is_cut_from_the_left_and_says_so(model: Llama) -> None:
    said: list[str] = []
    long, tail = "x" * 40 + "abcdefghijklmnopqrstuvwxyz", "c" * 2 + "abcdefghijklmnopqrstuvwxyz"
    first = "".join(generate(model, Bytes(), long, GREEDY, said.append))
    assert said == ["the prompt has 67 tokens, the model looks back on 24: its beginning is cut off"]
    assert first == "".join(generate(model, Bytes(), tail, GREEDY, said.append)), "only the last 24 tokens count"


def test_text_goes_on_beyond_the_context(model: Llama) -> None:
    config = GenerationConfig(max_new_tokens=60, temperature=1.0)
    count = 0

    class Counting(Bytes):
        def decode(self, ids: list[int]) -> str:
            nonlocal count
            count = len(ids)
            return super().decode(ids)

    "".join(generate(model, Counting(), "ab", config))
    assert count == 62


def test_a_shorter_context_is_kept_to(model: Llama) -> None:
    short = "".join(generate(model, Bytes(), "abcdef", dataclasses.replace(GREEDY, context=8)))
    ids = [1, *Bytes().encode("abcdef")]
    for _ in range(GREEDY.max_new_tokens):
        ids.append(int(model(torch.tensor([ids[-8:]]))[0, -1].argmax()))
    assert short == Bytes().decode(ids)[6:]


def test_a_context_longer_than_the_model_is_refused(model: Llama) -> None:
    with pytest.raises(UserError, match="context=25 is longer than the model's max_sequence_length=24"):
        generate(model, Bytes(), "a", dataclasses.replace(GREEDY, context=25))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_new_tokens", -1),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", 0),
        ("context", 0),
        ("repetition_penalty", 0.0),
    ],
)
def test_impossible_settings_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{key}="):
        dataclasses.replace(GREEDY, **{key: value})


def test_text_is_streamed_as_it_is_drawn(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self, tokens: calls.append(1) or step(self, tokens))
    pieces: Iterator[str] = generate(model, Bytes(), "ab", dataclasses.replace(GREEDY, max_new_tokens=1000))
    next(pieces)
    assert len(calls) < 10


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_a_prompt_gets_does_not_depend_on_who_sits_beside_it(model: Llama, temperature: float) -> None:
    config = dataclasses.replace(GREEDY, temperature=temperature, max_new_tokens=15)
    prompts = ["a", "some words", "", "bcd"]
    together = complete(model, Bytes(), prompts, config)
    alone = [complete(model, Bytes(), [prompt], config, first=n)[0] for n, prompt in enumerate(prompts)]
    assert together == alone
    assert together[0] == "".join(generate(model, Bytes(), "a", config))


def test_a_finished_row_leaves_the_batch_and_the_others_go_on(model: Llama) -> None:
    config = dataclasses.replace(GREEDY, max_new_tokens=6)
    prompts = [[1, 100], [1, 7, 9], [1, 50, 60, 70]]
    alone = [[token for _, token in generate_ids(Decoder.of(model, "fp32"), [p], config, 24, 2)] for p in prompts]
    got: list[list[int]] = [[], [], []]
    decoder = Decoder.of(model, "fp32")
    for row, token in generate_ids(decoder, prompts, config, 24, 2, lambda row: row == 1 and len(got[1]) == 2):
        got[row].append(token)
    assert got[1] == alone[1][:2] and (got[0], got[2]) == (alone[0], alone[2])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_text_ends_before_its_stop_text(model: Llama, size: int) -> None:
    whole = "".join(generate(model, Bytes(), "ab", GREEDY))
    stop = whole[4 : 4 + size]
    config = dataclasses.replace(GREEDY, stop=("never there", stop))
    expected = whole[: whole.index(stop)]
    assert "".join(generate(model, Bytes(), "ab", config)) == expected
    assert complete(model, Bytes(), ["ab", "xyz"], config)[0] == expected


def test_what_only_begins_like_a_stop_text_is_emitted_in_the_end() -> None:
    codec = Bytes()
    pieces = list(stream(iter(codec.encode("one\nQ two\n")), [], codec, ["\nQ:"]))
    assert "".join(pieces) == "one\nQ two\n"
    assert all(not piece.endswith("\nQ") for piece in pieces)


def test_a_repetition_penalty_makes_a_loop_end(model: Llama) -> None:
    logits = torch.tensor([2.0, -1.0, 3.0])
    assert penalised(logits, [0, 1, 0], 2.0).tolist() == [1.0, -2.0, 3.0]
    config = dataclasses.replace(GREEDY, max_new_tokens=60)
    codec = Bytes()
    ids = [1, *codec.encode("ab")]
    for _ in range(60):
        with torch.inference_mode():
            scores = penalised(model(torch.tensor([ids[-24:]]))[0, -1], ids, 9.0)
        ids.append(int(scores.argmax()))
    got = "".join(generate(model, codec, "ab", dataclasses.replace(config, repetition_penalty=9.0)))
    assert got == codec.decode(ids)[2:]
    assert got != "".join(generate(model, codec, "ab", config))
