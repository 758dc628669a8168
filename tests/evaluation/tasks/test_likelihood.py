"""A shared beginning is computed once, and the likelihoods are those of the plain model."""

from __future__ import annotations

import pytest
import torch

from packtrain.evaluation.tasks.likelihood import encode, forward_score, packed_score
from packtrain.evaluation.tasks.packing import Wanted, rows
from packtrain.evaluation.tasks.requests import Likelihood
from packtrain.inference.decoder import Decoder
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

VOCABULARY = 40


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.set_num_threads(1)
    made = Llama(
        ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=VOCABULARY, max_sequence_length=64)
    )
    initialise(made, seed=3)
    return made


def sequences(seed: int, count: int) -> list[Wanted]:
    """Trees of questions with choices, some of them equal, one a beginning of another."""
    chance = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        question = torch.randint(3, VOCABULARY, (int(torch.randint(1, 20, (1,), generator=chance)),), generator=chance)
        for length in (1, 2, 2, 5):
            choice = torch.randint(3, 6, (length,), generator=chance)
            found.append(Wanted([1, *question.tolist(), *choice.tolist()], 1 + len(question)))
    return found


def plain(model: Llama, wanted: Wanted) -> float:
    with torch.no_grad():
        p = model(torch.tensor([wanted.tokens[:-1]]))[0].double().log_softmax(-1)
    return sum(float(p[i - 1, wanted.tokens[i]]) for i in range(wanted.start, len(wanted.tokens)))


@pytest.mark.parametrize("budget", [1, 300, 10_000])
def test_packed_rows_give_the_plain_models_likelihoods(model: Llama, budget: int) -> None:
    asked = sequences(seed=budget, count=12)
    expected = [plain(model, wanted) for wanted in asked]
    found = packed_score(Decoder.of(model, "fp32"), asked, budget)
    assert [nats for nats, _ in found] == pytest.approx(expected, abs=1e-4)
    with torch.no_grad():
        assert [nats for nats, _ in forward_score(model, asked, budget, "cpu")] == pytest.approx(expected, abs=1e-4)


def test_greedy_is_said_of_the_likeliest_alone(model: Llama) -> None:
    tokens = [1, 5, 9]
    with torch.no_grad():
        likeliest = int(model(torch.tensor([tokens]))[0, -1].argmax())
    asked = [Wanted([*tokens, token], 3) for token in (likeliest, (likeliest + 1) % VOCABULARY)]
    assert [greedy for _, greedy in packed_score(Decoder.of(model, "fp32"), asked, 100)] == [True, False]


def test_the_question_stands_once_in_front_of_its_choices() -> None:
    question = list(range(1, 21))
    filled = rows([Wanted([*question, 30 + i, 31 + i, 32 + i], 20) for i in (0, 4, 8, 12)], capacity=100)
    assert len(filled) == 1 and len(filled[0].tokens) == 20 + 4 * 2  # a choice's last token is no input


class Letters:
    """A token for each letter; a space belongs to the letter behind it, as in SentencePiece."""

    bos_id = 1

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[ord(word[-1]) - 90 + 30 * (len(word) > 1) for word in self._words(text)] for text in texts]

    @staticmethod
    def _words(text: str) -> list[str]:
        return [(" " if i and text[i - 1] == " " else "") + c for i, c in enumerate(text) if c != " "]


def test_a_space_before_the_choice_goes_with_the_choice() -> None:
    by_choice = encode(Letters(), [Likelihood("ab", " c")], 50)
    assert by_choice == encode(Letters(), [Likelihood("ab ", "c")], 50)
    assert by_choice[0][0].start == 3 and len(by_choice[0][0].tokens) == 4


def test_a_context_that_is_too_long_loses_its_beginning_and_is_counted() -> None:
    (whole, cut), flags = encode(Letters(), [Likelihood("abcd", "e"), Likelihood("abcdefgh", "ij")], 6)
    assert flags == [False, True]
    assert cut.tokens[0] == 1 and len(cut.tokens) - 1 == 6 and len(cut.tokens) - cut.start == 2
    assert len(whole.tokens) - whole.start == 1


def test_an_empty_context_is_the_beginning_of_a_text() -> None:
    (wanted,), _ = encode(Letters(), [Likelihood("", "abc")], 6)
    assert wanted.tokens[0] == 1 and wanted.start == 1
