"""The baselines are what they say: an entropy one can work out by hand, and the xz program's own size."""

import math
import shutil
import subprocess

import pytest

from packtrain.evaluation.baselines import unigram_bits_per_byte, xz_bits_per_byte
from packtrain.evaluation.comparison import DomainResult, compare
from packtrain.evaluation.held_out import Score


def test_unigram_entropy_equals_the_hand_calculation() -> None:
    # a × 4, b × 2, c × 1, d × 1: H = ½·1 + ¼·2 + ⅛·3 + ⅛·3 = 1.75 bits a token, 8 tokens, 28 bytes
    assert unigram_bits_per_byte([7, 7, 7, 7, 9, 9, 3, 5], n_bytes=28) == pytest.approx(1.75 * 8 / 28)


def test_unigram_entropy_of_one_repeated_token_is_nothing() -> None:
    assert unigram_bits_per_byte([4] * 10, n_bytes=10) == 0


@pytest.mark.skipif(shutil.which("xz") is None, reason="no xz program")
def test_xz_equals_the_xz_program() -> None:
    text = "".join(f"line {i * i % 97}: {math.sin(i):.6f}\n" for i in range(20_000)).encode()
    program = subprocess.run(["xz", "-9", "-T1", "-c"], input=text, capture_output=True, check=True).stdout
    assert xz_bits_per_byte(text) == 8 * len(program) / len(text)


def test_an_empty_text_is_refused() -> None:
    for call in (lambda: unigram_bits_per_byte([], 1), lambda: xz_bits_per_byte(b"")):
        with pytest.raises(ValueError, match="empty text"):
            call()


def row(loss: float, unigram: float = 2.0, xz: float = 1.0) -> DomainResult:
    return DomainResult(Score(loss * 100, 100), 1, 400, unigram, xz)


def test_the_mean_takes_the_weights_of_the_mixture() -> None:
    found = compare({"a": row(2.0), "b": row(4.0, unigram=4.0)}, {"a": 3.0, "b": 1.0, "unread": 5.0})
    assert found["weighted"]["loss"] == pytest.approx(2.5)
    assert found["weighted"]["perplexity"] == pytest.approx(math.exp(2.5))
    assert found["weighted"]["unigram_bits_per_byte"] == pytest.approx(2.5)
    assert found["domains"]["a"]["weight"] == 0.75


def test_a_better_baseline_shows_as_negative_percent() -> None:
    bits = Score(200, 100).bits_per_byte(400)
    found = compare({"a": row(2.0, unigram=2 * bits, xz=bits / 2)}, {})["domains"]["a"]
    assert found["under_unigram_percent"] == pytest.approx(50)
    assert found["under_xz_percent"] == pytest.approx(-100)
