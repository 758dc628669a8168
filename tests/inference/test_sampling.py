"""inference/sampling.py: which tokens may be drawn, and how often"""

from __future__ import annotations

import pytest
import torch

from packtrain.errors import Failure
from packtrain.inference.sampling import distribution, sample

PROBABILITIES = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
LOGITS = PROBABILITIES.log()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert {sample(LOGITS, 0.0, None, 1.0, seeded(s)) for s in range(20)} == {1}


def test_one_candidate_is_greedy_at_any_temperature() -> None:
    assert {sample(LOGITS, 5.0, 1, 1.0, seeded(s)) for s in range(20)} == {1}


def test_nothing_cut_leaves_the_model_its_probabilities() -> None:
    torch.testing.assert_close(distribution(LOGITS, 1.0, None, 1.0).float(), PROBABILITIES)


def test_top_k_keeps_the_k_likeliest_in_proportion() -> None:
    expected = torch.tensor([0.0, 4 / 7, 0.0, 3 / 7, 0.0])
    torch.testing.assert_close(distribution(LOGITS, 1.0, 2, 1.0).float(), expected)
    torch.testing.assert_close(distribution(LOGITS, 1.0, 99, 1.0).float(), PROBABILITIES)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, {1}), (0.39, {1}), (0.41, {1, 3}), (0.69, {1, 3}), (0.84, {1, 3, 4}), (0.96, {0, 1, 2, 3, 4})],
)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(top_p: float, kept: set[int]) -> None:
    found = distribution(LOGITS, 1.0, None, top_p)
    assert set(found.nonzero().flatten().tolist()) == kept
    assert abs(float(found.sum()) - 1) < 1e-9


def test_the_nucleus_is_measured_within_top_k() -> None:
    assert set(distribution(LOGITS, 1.0, 2, 0.5).nonzero().flatten().tolist()) == {1}  # 0.4 of 0.7 reaches a half


def test_temperature_sharpens_and_flattens() -> None:
    cold, hot = (distribution(LOGITS, t, None, 1.0) for t in (0.5, 2.0))
    torch.testing.assert_close(cold.float(), PROBABILITIES**2 / (PROBABILITIES**2).sum())
    torch.testing.assert_close(hot.float(), PROBABILITIES**0.5 / (PROBABILITIES**0.5).sum())


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    generator = seeded()
    drawn = torch.bincount(torch.tensor([sample(LOGITS, 1.0, None, 1.0, generator) for _ in range(4000)]), minlength=5)
    assert (drawn / 4000 - PROBABILITIES).abs().max() < 4 * (0.25 / 4000) ** 0.5


def test_a_seed_draws_the_same_again() -> None:
    one, same, other = (seeded(s) for s in (3, 3, 4))
    first, second, third = ([sample(LOGITS, 1.0, None, 1.0, g) for _ in range(50)] for g in (one, same, other))
    assert first == second != third


def test_logits_that_are_no_numbers_are_a_failure_in_one_line() -> None:
    with pytest.raises(Failure, match="not finite"):
        sample(torch.tensor([0.0, float("nan")]), 1.0, None, 1.0, seeded())
