"""DataConfig refuses what cannot be"""

from __future__ import annotations

from typing import Any

import pytest

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.settings import build

GOOD: dict[str, Any] = {
    "path": "x", "weights": {"a": 1.0}, "sequence_length": 8, "vocab_size": None, "tokens": 1e9, "batch_tokens": 64,
    "micro_batch": 2,
}  # fmt: skip


def test_a_count_may_be_written_as_1e9() -> None:
    assert build(DataConfig, GOOD).tokens == 10**9


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence_length": 0}, {"tokens": 0}, {"batch_tokens": -1}, {"micro_batch": 0}, {"workers": -1},
        {"held_out": 0.0}, {"held_out": 1.0}, {"weights": {"a": -0.1}}, {"weights": {"a": 0.0}}, {"vocab_size": 0},
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"data.{next(iter(wrong))}"):
        build(DataConfig, {**GOOD, **wrong})


def test_a_wrong_type_names_the_expected_one() -> None:
    with pytest.raises(UserError, match="integer"):
        build(DataConfig, {**GOOD, "sequence_length": "long"}, "data")
