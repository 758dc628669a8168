"""The gate from configuration to code: every wrong key and value names itself."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from packtrain.errors import UserError
from packtrain.settings import build


@dataclass(frozen=True)
class Inner:
    width: int
    rate: float = 0.5


@dataclass(frozen=True)
class Job:
    inner: Inner
    name: str = "x"
    steps: int = 1
    verbose: bool = False
    limit: int | None = None
    betas: tuple[float, ...] = (0.9, 0.95)
    names: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    kind: Literal["cosine", "constant"] = "cosine"
    either: int | str = 0
    other: Inner | None = None
    anything: Any = None


def refusal(**values: Any) -> str:
    with pytest.raises(UserError) as caught:
        build(Job, {"inner": {"width": 1}, **values})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_of_the_right_type_become_a_frozen_dataclass() -> None:
    job = build(
        Job,
        {
            "inner": {"width": 3, "rate": 1},
            "betas": [0.8, 1],
            "names": ["a"],
            "weights": {"c4": 1, "books": 0.5},
            "kind": "constant",
            "either": "word",
            "other": {"width": 2},
            "anything": {"_target_": "x"},
        },
    )
    assert job.inner == Inner(3, 1.0) and isinstance(job.inner.rate, float)
    assert job.betas == (0.8, 1.0) and job.names == ["a"] and job.weights == {"c4": 1.0, "books": 0.5}
    assert job.kind == "constant" and job.either == "word" and job.other == Inner(2) and job.limit is None
    assert job.anything == {"_target_": "x"}


@pytest.mark.parametrize("written", [1e6, 1_000_000, 1_000_000.0])
def test_a_count_written_as_a_float_is_an_integer(written: float) -> None:
    job = build(Job, {"inner": {"width": 1}, "steps": written, "limit": written})
    assert (job.steps, job.limit) == (1_000_000, 1_000_000)
    assert isinstance(job.steps, int) and isinstance(job.limit, int)


def test_an_unknown_key_names_itself_the_nearest_and_the_known() -> None:
    message = refusal(stepz=3)
    assert "'stepz'" in message and "did you mean 'steps'" in message and "verbose" in message
    assert "'inner.widht'" in refusal(inner={"widht": 3})


def test_a_missing_key_names_itself() -> None:
    assert "inner.width" in refusal(inner={})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("steps", "many", "integer"),
        ("steps", 1.5, "integer"),
        ("steps", True, "integer"),
        ("steps", None, "integer"),
        ("steps", float("nan"), "integer"),
        ("steps", float("inf"), "integer"),
        ("verbose", "maybe", "true or false"),
        ("verbose", 1, "true or false"),
        ("name", ["a"], "text"),
        ("limit", "x", "integer or null"),
        ("betas", 3, "list of number"),
        ("betas", ["x"], "number"),
        ("names", "a", "list of text"),
        ("weights", 3, "group of settings"),
        ("weights", {"c4": "x"}, "number"),
        ("inner", 3, "group of settings"),
        ("inner", {"width": 1, "rate": "fast"}, "number"),
        ("other", 3, "group of settings"),
    ],
)
def test_a_wrong_type_is_answered_with_the_expected_one(key: str, value: Any, expected: str) -> None:
    message = refusal(**{key: value})
    assert expected in message and key in message


def test_a_wrong_choice_is_answered_with_the_nearest() -> None:
    message = refusal(kind="cosin")
    assert "kind=cosin" in message and "'cosine'" in message and "constant" in message
