"""The speed model against what others published: rows left out of its own fit, rows it never saw, and LLaMA's own"""

from dataclasses import astuple

import pytest

from packtrain.estimate.calibration import fit, least_squares, leave_one_out, leave_source_out, predict, solve
from packtrain.estimate.published import CALIBRATION, PAPER_HOURS, UNSEEN, paper_run
from packtrain.estimate.speed import FITTED


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_the_constants_in_the_code_are_those_of_the_fit() -> None:
    assert astuple(fit(CALIBRATION)) == pytest.approx(astuple(FITTED), abs=1e-3)


def test_each_row_left_out_of_the_fit_is_predicted() -> None:
    found = leave_one_out()
    errors = {residual.run.name: abs(residual.error) for residual in found}
    assert len(errors) >= 18
    for name in ("MPT-7B", "MPT-13B", "MPT-30B", "MPT-70B"):
        for gpu in ("A100", "H100"):
            assert any(row.startswith(name) and gpu in row for row in errors), f"{name} on {gpu}"
    assert any(row.startswith("Llama-3 8B") for row in errors) and any(row.startswith("TinyLlama") for row in errors)
    assert median(list(errors.values())) <= 0.10
    assert max(errors.values()) <= 0.25, errors


def test_no_constant_belongs_to_one_source() -> None:
    """Rows predicted from the other sources alone: nothing but these would know a constant made for them."""
    found = leave_source_out()
    assert {residual.run.source for residual in found} == {run.source for run in CALIBRATION}
    assert median([abs(residual.error) for residual in found]) <= 0.15
    assert max(abs(residual.error) for residual in found) <= 0.25


def test_rows_that_no_fit_ever_saw() -> None:
    errors = {run.name: predict(run) / run.tokens_per_second - 1 for run in UNSEEN}
    assert median([abs(error) for error in errors.values()]) <= 0.05
    beyond = {name for name, error in errors.items() if abs(error) > 0.10}
    assert beyond == {"MPT-30B, 8 A100, T=8192"}, "named in docs/planning.md: its allocator thrashed at the full 80 GB"


@pytest.mark.parametrize("size", list(PAPER_HOURS))
def test_the_paper_s_gpu_hours_within_a_fifth_never_fitted(size: str) -> None:
    tokens, hours = PAPER_HOURS[size]
    assert tokens / predict(paper_run(size)) / 3600 == pytest.approx(hours, rel=0.20)
    assert paper_run(size) not in CALIBRATION


def test_65b_trains_at_the_paper_s_speed() -> None:
    speed = predict(paper_run("65B"))
    assert speed == pytest.approx(380, rel=0.10)
    assert 1.4e12 / speed / 2048 / 86400 == pytest.approx(21, rel=0.10)


def test_least_squares_finds_a_known_answer() -> None:
    points = [(x, 0.3 + 0.5 * x * x) for x in (0.1, 0.4, 0.7, 0.9)]
    found = least_squares(lambda v: [v[0] + v[1] * x * x - y for x, y in points], [0.9, 0.9])
    assert found == pytest.approx([0.3, 0.5], abs=1e-5)
    assert solve([[0.0, 2.0], [1.0, 1.0]], [4.0, 5.0]) == pytest.approx([3.0, 2.0])
