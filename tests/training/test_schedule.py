"""The learning rate of every step, and the arithmetic that cuts a run into steps"""

from __future__ import annotations

import dataclasses

import pytest

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.training.schedule import OptimConfig, check_warmup, learning_rate
from packtrain.training.steps import plan_steps

PAPER = OptimConfig(learning_rate=3e-4, warmup_steps=2000)


def test_the_paper_schedule_warms_up_linearly_peaks_and_ends_at_a_tenth() -> None:
    total = 238_419
    assert learning_rate(PAPER, 0, total) == pytest.approx(3e-4 / 2000)
    assert learning_rate(PAPER, 999, total) == pytest.approx(1.5e-4)
    assert learning_rate(PAPER, 1999, total) == learning_rate(PAPER, 2000, total) == 3e-4
    assert learning_rate(PAPER, total - 1, total) == pytest.approx(3e-5)
    middle = (2000 + total - 1) / 2
    assert learning_rate(PAPER, round(middle), total) == pytest.approx(1.65e-4, rel=1e-4)  # half of a cosine


def test_the_rate_only_falls_after_the_peak() -> None:
    rates = [learning_rate(PAPER, step, 10_000) for step in range(2000, 10_000)]
    assert rates == sorted(rates, reverse=True)


def test_constant_stays_at_the_peak() -> None:
    config = dataclasses.replace(PAPER, schedule="constant")
    assert {learning_rate(config, step, 10_000) for step in range(1999, 10_000)} == {3e-4}


def test_wsd_is_stable_and_then_falls_over_the_last_tenth() -> None:
    config = dataclasses.replace(PAPER, schedule="wsd", warmup_steps=0)
    assert learning_rate(config, 899, 1001) == pytest.approx(3e-4)
    assert learning_rate(config, 950, 1001) == pytest.approx(3e-4 * 0.55)
    assert learning_rate(config, 1000, 1001) == pytest.approx(3e-5)


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(UserError, match=r"optim\.warmup_steps=2000 is not shorter than the run of 2000 steps"):
        check_warmup(PAPER, 2000)
    check_warmup(PAPER, 2001)


def data(**changes: object) -> DataConfig:
    plain = DataConfig("x", {}, 2048, 32000, 10**12, 4_194_304, 4)
    return dataclasses.replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def test_the_paper_batch_is_2048_sequences_and_accumulation_follows_from_the_world() -> None:
    steps = plan_steps(data(), world=256)
    assert (steps.sequences, steps.accumulation, steps.batch_tokens) == (2048, 2, 4_194_304)
    assert plan_steps(data()).accumulation == 512
    assert steps.total == 238_419  # the last batch is filled: 1.0 T tokens and a little


def test_an_unset_micro_batch_is_the_largest_divisor_up_to_16() -> None:
    assert plan_steps(data(micro_batch=None)).micro_batch == 16
    assert plan_steps(data(micro_batch=None, batch_tokens=2048 * 22)).micro_batch == 11


def test_a_device_that_has_fewer_sequences_than_a_micro_batch_takes_them_all_at_once() -> None:
    steps = plan_steps(data(), world=2048)
    assert (steps.micro_batch, steps.accumulation, steps.sequences) == (1, 1, 2048)


def test_intervals_in_tokens_become_whole_steps() -> None:
    steps = plan_steps(data())
    assert steps.every(4_194_304_000, 50) == 1000
    assert steps.every(1, 50) == 1
    assert steps.every(None, 50) == 238_419 // 50
