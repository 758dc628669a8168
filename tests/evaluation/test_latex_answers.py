"""known equivalences and near misses; real golds of MATH, which equal themselves in other clothes and nothing else"""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from packtrain.evaluation.latex_answers import boxed, equivalent
from packtrain.evaluation.latex_values import Unreadable, value

SHARED = Path(os.environ.get("PACKTRAIN_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
SAME = [
    ("\\frac12", "\\frac{1}{2}"), ("\\dfrac{1}{2}", "0.5"), (".5", "1/2"),
    ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}}"), ("3\\frac18", "\\frac{25}{8}"), ("1{,}000", "1,000"),
    ("$4,\\!000", "4000"), ("\\$0.50", "\\frac12"), ("25\\%", "25"), ("60^\\circ", "60"), ("440\\text{ cm}^2", "440"),
    ("18\\text{ ways.}", "18"), ("5 inches", "5"), ("x=5", "5"), ("f(x) = 2x+1", "1 + 2x"), ("\\text{(C)}", "C"),
    ("(C)", "C"), ("\\text{odd}", "Odd"), ("(x+1)^2", "x^2+2x+1"), ("2x(15x^2-4x+10)", "30x^3-8x^2+20x"),
    ("-\\frac1{2x}", "\\frac{-1}{2x}"), ("\\left(\\frac12, 3\\right)", "(0.5,3)"),
    ("2+\\sqrt3, 2-\\sqrt3", "2 \\pm \\sqrt{3}"), ("1,-2", "-2, 1"), ("7, -2, \\text{ and } -5", "-5, -2, 7"),
    ("\\{1,2\\}", "\\{2, 1\\}"), ("[0,1) \\cup (2,\\infty)", "(2, \\infty) \\cup [0, 1)"), ("x \\in [1,4]", "[1, 4]"),
    ("\\begin{pmatrix} 1/2 \\\\ -3 \\end{pmatrix}", "\\begin{pmatrix}\\frac{1}{2}\\\\ -3\\end{pmatrix}"),
    ("x - 3z = 0", "6z = 2x"), ("385_9", "385_{9}"), ("5!", "120"), ("\\sqrt[3]{-8}", "-2"), ("e^{i}", "e^i"),
    ("\\sin^2 x + \\cos^2 x", "1"), ("i^2", "-1"), ("2^{10}", "1024"), ("\\frac{4}{3}\\pi", "\\frac{4 \\pi}{3}"),
    ("−3", "-3"), ("|-4|", "4"), ("10^{-2}", "0.01"), ("6\\cdot 7", "42"), ("\\sqrt2", "2^{1/2}"),
]  # fmt: skip
DIFFERENT = [
    ("0.33", "\\frac13"), ("3.14", "\\pi"), ("(1,2)", "(2,1)"), ("[1,2]", "(1,2)"), ("(1,2)", "[1,2)"),
    ("1,2", "1,2,3"), ("1,1,2", "1,2,2"), ("385_9", "385_8"), ("385_9", "385"), ("x+1", "x+2"), ("x", "y"),
    ("B", "b"), ("x-3z=0", "x-3z=1"), ("x-3z=0", "x=3y"), ("\\text{odd}", "\\text{even}"), ("", ""), ("", "0"),
    ("1:2", "2:1"), ("25\\%", "0.25"), ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1&2\\end{pmatrix}"),
    ("2^{2005}", "2^{2006}"), ("1000", "1,00"), ("\\frac{1}{2004!}", "\\frac{1}{2005!}"), ("1 \\pm 2", "3"),
    ("\\infty", "-\\infty"), ("1/0", "2/0"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_answer_in_another_form(one: str, other: str) -> None:
    assert equivalent(one, other) and equivalent(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_answer(one: str, other: str) -> None:
    assert not equivalent(one, other) and not equivalent(other, one)


def test_the_last_box_is_taken_with_the_braces_in_it() -> None:
    assert boxed("\\boxed{1} and \\boxed{\\frac{a}{b}}.") == "\\frac{a}{b}"
    assert boxed("so $\\boxed 7$") == "7" and boxed("\\fbox{3}") == "3"
    assert boxed("none") is None and boxed("\\boxed{open") is None


@pytest.mark.parametrize(
    "text", ["9" * 5000, "(" * 300, "__import__('os')", "9^9^9^9^9", "\\begin{x}", "2 +", "1 2 )", "170!!"]
)
def test_hostile_and_broken_formulas_are_unreadable_at_once(text: str) -> None:
    with pytest.raises(Unreadable):
        value(text)
    assert not equivalent(text, "5")


def golds() -> list[str]:
    path = SHARED / "eval" / "math" / "test.json"
    if not path.is_file():
        pytest.skip(f"no {path}: give PACKTRAIN_TEST_DATA")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [boxed(row["solution"]) for row in rows]
    assert len(found) == 5000 and all(found)
    return [gold for gold in dict.fromkeys(found) if gold]


def test_every_gold_of_math_equals_itself_in_other_clothes() -> None:
    for gold in golds():
        assert equivalent(gold, gold), gold
        assert equivalent(gold.replace("\\frac", "\\dfrac").replace("\\ddfrac", "\\dfrac"), gold), gold
        assert equivalent(f"${gold}$.", gold), gold


def test_next_golds_of_math_differ_except_where_they_say_the_same() -> None:
    """Of 2 046 neighbours in the order of the file, none that is another value is taken for the same."""
    found = golds()
    alike = [(a, b) for a, b in pairwise(found) if equivalent(a, b)]
    assert alike == []
