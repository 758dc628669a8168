"""Every held-out token is scored once, and the score is the textbook's."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from packtrain.errors import Failure
from packtrain.evaluation.held_out import NegativeLogLikelihood, Score, batches, score, windows

BOS, EOS = 1, 2


def documents(*lengths: int) -> list[torch.Tensor]:
    """Documents whose inner tokens count up, so that every token of the stream is known."""
    found, start = [], 3
    for length in lengths:
        found.append(torch.tensor([BOS, *range(start, start + length), EOS], dtype=torch.uint16))
        start += length
    return found


class Bigram(nn.Module):
    """A model whose logits are a fixed row per input token."""

    def __init__(self, vocab_size: int = 64) -> None:
        super().__init__()
        table = torch.randn(vocab_size, vocab_size, generator=torch.Generator().manual_seed(0))
        self.table = nn.Parameter(table)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table[tokens]


@pytest.mark.parametrize("lengths", [(1,), (3,), (4, 1, 9), (0, 0, 0), (30,), (7, 13, 2, 1), (2, 2, 2, 2)])
@pytest.mark.parametrize("sequence_length", [1, 3, 4, 8, 100])
def test_every_token_but_the_first_is_a_target_exactly_once(lengths: tuple[int, ...], sequence_length: int) -> None:
    stream = torch.cat([d.long() for d in documents(*lengths)])
    pairs = list(windows(documents(*lengths), sequence_length))
    assert torch.equal(torch.cat([targets for _, targets in pairs]), stream[1:])
    assert torch.equal(torch.cat([inputs for inputs, _ in pairs]), stream[:-1])
    assert all(len(inputs) == sequence_length for inputs, _ in pairs[:-1])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 50])
@pytest.mark.parametrize("limit", [None, 1, 7, 8, 11, 10_000])
def test_batches_hold_the_same_targets_whatever_their_size(batch_size: int, limit: int | None) -> None:
    stream = torch.cat([d.long() for d in documents(7, 13, 2, 1)])
    found = list(batches(documents(7, 13, 2, 1), 4, batch_size, limit_tokens=limit))
    assert torch.equal(torch.cat([targets.flatten() for _, targets in found]), stream[1:][:limit])
    assert all(inputs.shape == targets.shape and len(inputs) <= batch_size for inputs, targets in found)


def test_score_equals_the_cross_entropy_by_hand() -> None:
    model, docs = Bigram(), documents(7, 13, 2)
    stream = torch.cat([d.long() for d in docs]).tolist()
    table = model.table.detach().double()
    by_hand = -sum(
        float(table[a, b]) - math.log(sum(math.exp(x) for x in table[a].tolist())) for a, b in pairwise(stream)
    )
    found = score(model, batches(docs, 5, 2))
    assert found.tokens == len(stream) - 1
    assert found.nats == pytest.approx(by_hand, rel=1e-6)
    assert found.loss == pytest.approx(by_hand / (len(stream) - 1), rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(found.loss))


def test_score_does_not_depend_on_the_batch_size() -> None:
    docs = documents(7, 13, 2, 30)
    assert score(Bigram(), batches(docs, 5, 1)).nats == pytest.approx(score(Bigram(), batches(docs, 5, 9)).nats, 1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_scoring_restores_the_mode_and_leaves_no_gradient(training: bool) -> None:
    model = Bigram().train(training)
    score(model, batches(documents(9), 4, 2))
    assert model.training is training and model.table.grad is None


def test_bits_per_byte_is_nats_over_ln_2_over_bytes() -> None:
    assert Score(nats=math.log(2) * 24, tokens=7).bits_per_byte(12) == pytest.approx(2.0)


def test_an_empty_held_out_text_is_a_failure_in_one_line() -> None:
    with pytest.raises(Failure, match="no token"):
        score(Bigram(), batches([], 4, 2))


def test_the_sum_is_kept_in_float64() -> None:
    metric = NegativeLogLikelihood()
    metric.update(torch.zeros(1, 3, 8), torch.zeros(1, 3, dtype=torch.int64))
    assert metric.nats.dtype == torch.float64
    assert float(metric.nats) == pytest.approx(3 * math.log(8), rel=1e-6)
