"""texts as models write them → the answer in them; votes → the majority; pass@k against all draws there are"""

import itertools
import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from packtrain.errors import UserError
from packtrain.evaluation import answers
from packtrain.evaluation.latex_answers import equivalent
from packtrain.evaluation.pass_at_k import pass_at_k

SHARED = Path(os.environ.get("PACKTRAIN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def test_normalisation_is_the_papers() -> None:
    assert answers.normalised("The  Beatles!") == "beatles"
    assert answers.normalised("An A-team, the U.S.") == "ateam us"
    assert answers.normalised("theatre") == "theatre"
    assert not answers.exact_match("", ["A", "The The"]) and answers.exact_match(" the the\n", ["The The"])


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (" Paris\nQ: next", True), (" the PARIS.", True), (" Paris, France", True), (" Paris. It is large", True),
        ("\n Paris", True), (" It is Paris", False), (" London\nParis", False), (" Paris France", False), ("", False),
    ],
)  # fmt: skip
def test_an_answer_ends_at_the_line_break_the_comma_or_the_full_stop(text: str, counts: bool) -> None:
    assert answers.exact_match(text, ["Paris", "Lutetia"]) == counts


def test_an_answer_that_holds_a_comma_or_a_dot_itself_can_be_given() -> None:
    assert answers.exact_match(" April 6, 1830", ["April 6, 1830"])
    assert not answers.exact_match(" April 6, 1999", ["April 6, 1830"])
    assert answers.exact_match(" J. K. Rowling", ["J.K. Rowling", "J. K. Rowling"])
    assert answers.exact_line(" April 6, 1830", ["april 6 1830"]) and not answers.exact_line("Paris, France", ["Paris"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 + 3 = 8. The answer is 8.", "8"), ("The answer is $1,234.50.", "1234.5"), ("so\n#### -7", "-7"),
        ("The answer is 18 dollars, not 3", "18"), ("he has 3, then 4.0", "4"), ("nothing", None), ("-0", "0"),
        ("The answer is: 0.5", "0.5"), ("The answer is 1e", "1"), ("The answer is .5", "0.5"), ("= −2", "-2"),
    ],
)  # fmt: skip
def test_the_number_of_a_word_problem(text: str, number: str | None) -> None:
    assert answers.final_number(text) == number


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("Final Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.", "$\\frac{1}{2}$"),
        ("The final answer is 5.", "5"), ("the final answer is $\\boxed{3}$. I hope", "3"), ("thus $\\boxed{7}$", "7"),
        ("The final answer is 3.5. I hope it is", "3.5"), ("nothing", None), ("", None),
    ],
)  # fmt: skip
def test_the_final_formula(text: str, formula: str | None) -> None:
    assert answers.final_formula(text) == formula


def test_the_majority_counts_like_answers_together_and_no_answer_not_at_all() -> None:
    votes = ["3", None, "\\frac12", "0.5", "3", "1/2", None, None, None]
    assert answers.majority(votes, equivalent) == "\\frac12"
    assert answers.majority(["2", "1", "1", "2"], str.__eq__) == "2"  # of equal ones the first
    assert answers.majority([None], equivalent) is None and answers.majority([], equivalent) is None


def test_every_gold_of_gsm8k_is_read_as_it_stands() -> None:
    path = SHARED / "eval" / "gsm8k" / "test.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}: give PACKTRAIN_TEST_DATA")
    rows = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(answers.final_number(row), row.split("####")[1].strip().replace(",", "")) for row in rows]
    assert len(found) == 1319 and all(
        number is not None and Fraction(number) == Fraction(gold) for number, gold in found
    )


def test_every_gold_of_naturalquestions_can_be_given() -> None:
    path = SHARED / "eval" / "nq_open" / "NQ-open.dev.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}: give PACKTRAIN_TEST_DATA")
    rows = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3610
    assert all(answers.exact_match(f" {answer}\nQ:", row) for row in rows for answer in row)


def test_pass_at_k_is_the_share_of_all_draws_in_which_one_passes() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                draws = list(itertools.combinations(range(n), k))
                share = Fraction(sum(any(i < c for i in draw) for draw in draws), len(draws))
                assert pass_at_k(n, c, k) == pytest.approx(float(share), abs=1e-15)


def test_pass_at_k_of_the_papers_numbers() -> None:
    assert pass_at_k(200, 0, 100) == 0 and pass_at_k(200, 101, 100) == 1 and pass_at_k(1, 1, 1) == 1
    product = 1.0
    for i in range(200 - 20 + 1, 201):  # the closed form as a product (Chen et al., 2021, figure 3)
        product *= 1 - 100 / i
    assert pass_at_k(200, 20, 100) == pytest.approx(1 - product, rel=1e-12)
    with pytest.raises(UserError, match="draw at least 100"):
        pass_at_k(10, 3, 100)
