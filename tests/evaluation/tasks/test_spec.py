"""A task is one YAML file: every one that is shipped is sound, and what a user gets wrong in one is said."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from packtrain.errors import UserError
from packtrain.evaluation.tasks.data import canonical, load_data
from packtrain.evaluation.tasks.prompts import spread
from packtrain.evaluation.tasks.runner import Prepared, prepare
from packtrain.evaluation.tasks.scoring import SCORINGS, Judge, Surroundings, make
from packtrain.evaluation.tasks.spec import MODELS, Source, TaskSpec, conf_tasks, load, load_file
from packtrain.evaluation.tasks.template import Absent, fill
from tests.evaluation.tasks.oracles import Oracle, ask

NAMES = sorted(path.name[:-5] for path in conf_tasks().iterdir() if path.name.endswith(".yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_task_or_group_is_sound(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "key")
    for task, spec in load([name]).items():
        given = {"truth_judge": "judge"} if spec.scoring == "truthful" else {}
        given_spec = replace(spec, options=spec.options | given)
        make(task, given_spec, Surroundings(allow_code_execution=True, open_model=lambda _: Judge("sha", Oracle)))
        assert all(set(values) <= {*MODELS} for values in spec.paper.values())
        assert [s.url for s in spec.sources if s.path and not s.path.startswith("commonsense")] != [""]
        with pytest.raises(UserError, match=f"task {task}: no .* below"):
            load_data(task, spec.sources, tmp_path)


def test_a_number_behind_a_task_is_that_of_its_examples() -> None:
    assert load(["nq_open@5", "piqa"])["nq_open"].shots == (5,)
    assert load(["nq_open"])["nq_open"].shots == (0, 1, 5, 64), "the paper's"
    with pytest.raises(UserError, match="did you mean 'nq_open'"):
        load(["nq_opn@5"])


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'openbookqa'"):
        load(["openbokqa"])


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Prepared]:
    """A user's own task: rows written to a file, its YAML beside it."""

    def made(rows: list[Any] | str, limit: int | None = None, **changes: Any) -> Prepared:
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "rows.jsonl").write_text(text)
        values = {
            "scoring": "choice", "metric": "acc", "prompt": "Q: {question}\nA:", "answer": " {choice}",
            "sources": [{"path": "rows.jsonl"}], **changes,
        }  # fmt: skip
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
        spec = load_file(tmp_path / "mine.yaml")["mine"]
        return prepare("mine", spec, Surroundings(data_dir=tmp_path), limit)[0]

    return made


ROW = {"question": "two and two?", "choices": ["four", "a large number"], "gold": 0}


def test_a_users_own_task_is_one_yaml_file(own: Callable[..., Prepared]) -> None:
    task = own([ROW])
    assert task.items[0].context == "Q: two and two?\nA:"
    found = ask(task, Oracle(likes=lambda request: float(request.continuation == " four")))
    assert found.figures["acc"].value == 1.0 and found.name == "mine"


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ('{"question": 1\n', {}, r"rows\.jsonl:1: no JSON"),
        (json.dumps(ROW) + "\n[1]\n", {}, r"rows\.jsonl:2: expected an object"),
        ("", {}, "holds no row"),
        ([ROW, {"question": "?"}], {}, r"rows\.jsonl:2 has no 'choices'|'choices'"),
        ([{**ROW, "gold": 2}], {}, r"rows\.jsonl:1: gold=2 is none of the 2 choices"),
        ([ROW, {**ROW, "question": None}], {}, r"rows\.jsonl:2 has no 'question', which a template names"),
        (json.dumps(ROW).replace("two", "two \\ud800"), {}, r"rows\.jsonl:1: half a character \(U\+D800\)"),
        ([{**ROW, "choices": ["one"]}], {}, "'choices' is no list of two or more"),
        ([ROW, ROW], {"shots": [5]}, r"shots=5, but there are 1 examples.*tasks\.mine\.shots=\[1\]"),
        ([ROW], {"prompt": "{passage}"}, r"rows\.jsonl:1 has no 'passage', which a template names"),
        ([ROW], {"sources": [{"path": "other.jsonl", "url": "https://example.org"}]}, "get it from https://example.org"),
        ([ROW], {"promt": "x"}, r"^task_file=.*mine\.yaml: unknown key 'promt'; did you mean 'prompt'"),
        ([ROW], {"prompt": "Q:\n{question"}, r"line 2 of a template, '{question': a { is not closed; {{ is the sign"),
        ([ROW], {"answer": "choice}"}, r"line 1 of a template, 'choice}': a } closes nothing"),
        ([ROW], {"options": {"continuation": "{choice"}}, "a { is not closed"),
        ([ROW], {"sources": [{"path": "rows.jsonl", "fields": {"choices": ["{a", "b"]}}]}, "a { is not closed"),
        ([ROW], {"scoring": "choise"}, "did you mean 'choice'"),
        ([ROW], {"options": {"unconditionl": "x"}}, "did you mean 'unconditional'"),
        ([ROW], {"prompt": "{question|upper}"}, "unknown filter 'upper'"),
        ([ROW], {"shots": [-1]}, "expected numbers of examples"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(own: Callable[..., Prepared], rows: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        own(rows, **changes)
    assert "\n" not in str(error.value)


def test_examples_never_hold_the_item_itself(own: Callable[..., Prepared]) -> None:
    rows = [{"question": f"q{i}", "choices": ["x", "y"], "gold": 0} for i in range(4)]
    for draw in ("first", "random"):
        task = own(rows, shots=[3], draw=draw)
        for item in task.items:
            assert item.context.count(item.row["question"]) == 1 and item.context.count("Q: ") == 4


def test_limit_takes_items_from_all_over_the_set_under_their_own_numbers(own: Callable[..., Prepared]) -> None:
    rows = [{"question": f"q{i}", "choices": ["x", "y"], "gold": 0} for i in range(10)]
    chosen = own(rows, limit=3).items
    assert [item.index for item in chosen] == [0, 4, 6], "one of 0–2, 3–5 and 6–9"
    assert [item.row["question"] for item in chosen] == [f"q{item.index}" for item in chosen]
    whole = own(rows, limit=99)
    assert len(whole.items) == 10 and whole.identity == own(rows).identity, "all is all: not asked again"


@pytest.mark.parametrize("limit", [1, 7, 60, 120, 240, 719])
def test_limit_does_not_meet_the_same_kind_of_row_each_time(limit: int) -> None:
    """WinoGender's six kinds of sentence, three pronouns by two answers, take turns; so do many sets' kinds."""
    places = spread(720, limit)
    assert len(set(places)) == limit and places == sorted(places) and places[-1] < 720
    kinds = Counter(place % 6 for place in places)
    assert max(kinds.values()) - min(kinds.get(kind, 0) for kind in range(6)) <= 2 + limit // 20


def test_a_template_shows_and_does_nothing_else() -> None:
    row = {"a": {"b": ["x", "y"]}, "c": "under_score"}
    assert fill("{{{a.b.1}}} {c|spaces}", row) == "{y} under score"
    with pytest.raises(Absent):
        fill("{a.__class__}", row)


def test_a_spec_needs_an_answer_for_examples() -> None:
    with pytest.raises(UserError, match="needs `answer`"):
        TaskSpec("choice", load(["piqa"])["piqa"].sources, "{question}", "acc", shots=(5,))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"choices": ["a", "b"], "gold": 0.9}, "gold=0.9 is none of the 2 choices"),
        ({"choices": ["a", None], "gold": 0}, "choice 1 (from 0) is empty"),
        ({"choices": [" ", "b"], "gold": 1}, "choice 0 (from 0) is empty"),
        ({"choices": ["a", ["b"]], "gold": 0}, "choice 1 (from 0) is no text"),
    ],
)
def test_a_row_that_would_be_scored_wrongly_is_malformed(row: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        canonical(row, Source("x.jsonl"), "x.jsonl:3")
    assert canonical({"choices": ["a", 3], "gold": 1.0}, Source("x.jsonl"), "x.jsonl:4")["gold"] == 1


def test_a_field_that_examples_must_share_is_one_that_the_rows_have(own: Callable[..., Prepared]) -> None:
    rows = [{"question": "q", "choices": ["a", "b"], "gold": 0} for _ in range(3)]
    with pytest.raises(UserError, match=r"rows\.jsonl:1: has no 'subjct', which the task's `same` names"):
        own(rows, same="subjct", shots=(1,))


OTHER_THAN_CHOICE = {
    "crows_pairs": {}, "winogender": {}, "truthfulqa_mc": {}, "nq_open": {}, "gsm8k": {}, "humaneval": {},
    "realtoxicityprompts": {"scorer": "perspective"}, "truthfulqa_generation": {"truth_judge": "judge"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_THAN_CHOICE)
def test_a_metric_that_there_is_not_is_said_before_anything_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "key")
    spec = load([name])[name]
    wrong = replace(spec, metric="accuracy", options=spec.options | OTHER_THAN_CHOICE[name])
    around = Surroundings(allow_code_execution=True, open_model=lambda _: Judge("sha", Oracle))
    with pytest.raises(UserError, match=rf"tasks\.{name}\.metric=accuracy: scoring '{spec.scoring}' gives \w+"):
        make(name, wrong, around)
    assert {load([name])[name].scoring for name in OTHER_THAN_CHOICE} | {"choice"} == set(SCORINGS)
