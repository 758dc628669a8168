"""oracles that write → every evaluation of written text: gold answers score 100 %, others what they should"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from packtrain.errors import UserError
from packtrain.evaluation.sandbox.run import Limits
from packtrain.evaluation.tasks.requests import Generate
from packtrain.evaluation.tasks.runner import Prepared, prepare
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.tasks.spec import TaskSpec, load
from tests.evaluation.tasks.oracles import Oracle, ask

SHARED = Path(os.environ.get("PACKTRAIN_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
EVAL = SHARED / "eval"


def around(**more: Any) -> Surroundings:
    if not EVAL.is_dir():
        pytest.skip(f"no {EVAL}: give PACKTRAIN_TEST_DATA")
    return Surroundings(EVAL, say=lambda _: None, **more)


def spec_of(name: str, **changes: Any) -> TaskSpec:
    spec = load([name])[name]
    options = spec.options | changes.pop("options", {})
    return dataclasses.replace(spec, options=options, **changes)


def writer(tasks: Sequence[Prepared], text: Callable[[dict[str, Any]], str]) -> Oracle:
    """Knows each item by its context."""
    rows = {item.context: item.row for task in tasks for item in task.items}
    return Oracle(writes=lambda request, number: [text(rows[request.context])] * request.n)


def test_naturalquestions_gold_answers_score_100_and_the_prompt_is_the_papers() -> None:
    tasks = prepare("nq_open", spec_of("nq_open"), around())
    assert [task.shots for task in tasks] == [0, 1, 5, 64] and len(tasks[0].items) == 3610
    assert tasks[0].items[0].context == (
        "Answer these questions:\nQ: when was the last time anyone was on the moon\nA:"
    )
    for task in tasks:
        assert all(item.context.count("\nA:") == task.shots + 1 for item in task.items)
        found = ask(task, writer([task], lambda row: f" {row['answers'][-1].upper()}."))
        assert found.figures["exact_match"].value == 1.0
    asked = tasks[1].items[0].requests[0]
    assert isinstance(asked, Generate) and asked.temperature == 0 and asked.stop == ("\n",)
    wrong = ask(tasks[0], Oracle())
    assert wrong.figures["exact_match"].value == 0.0


def test_triviaqa_as_it_is_published_counts_every_alias(tmp_path: Path) -> None:
    rows = [
        {"Question": f"Who is number {n}?", "Answer": {"Value": "A", "Aliases": [f"Number {n}", f"N° {n}"]}}
        for n in range(70)
    ]
    (tmp_path / "triviaqa").mkdir()
    for part in ("dev", "train"):
        data = rows if part == "dev" else [{**row, "Question": f"Train: {row['Question']}"} for row in rows]
        (tmp_path / "triviaqa" / f"web-{part}.json").write_text(json.dumps({"Data": data, "Domain": "Web"}))
    tasks = prepare("triviaqa", spec_of("triviaqa"), Surroundings(tmp_path))
    assert len(tasks) == 4 and tasks[3].items[0].context.count("Q: Train:") == 64
    for task in tasks:
        assert ask(task, writer([task], lambda row: f" the {row['answers'][1]}")).figures["exact_match"].value == 1.0


@pytest.mark.parametrize(("name", "n"), [("gsm8k", 1319), ("math", 5000)])
def test_gold_solutions_of_mathematics_score_100(name: str, n: int) -> None:
    (task,) = prepare(name, spec_of(name), around())
    assert len(task.items) == n
    found = ask(task, writer([task], lambda row: row["solution"]))
    assert found.figures["exact_match"].value == 1.0 and found.figures["exact_match"].n == n
    nothing = ask(task, Oracle(writes=lambda request, number: ["I do not know"] * request.n))
    assert nothing.figures["exact_match"].value == 0.0


def test_the_prompts_of_mathematics() -> None:
    (gsm8k,) = prepare("gsm8k", spec_of("gsm8k"), around())
    context = gsm8k.items[0].context
    assert context.count("The answer is ") == 8 and "<<" not in context and "####" not in context
    assert (
        context.startswith("Q: Natalia sold clips")
        and "altogether in April and May. The answer is 72.\n\nQ:" in context
    )
    (math,) = prepare("math", spec_of("math"), around(), limit=1)
    assert math.items[0].context.count("Final Answer: The final answer is $") == 4
    assert "\\frac{7}{36}" in math.items[0].context and math.items[0].context.endswith("?\n\nSolution:")


def test_the_majority_votes() -> None:
    spec = spec_of("gsm8k_majority", options={"majority": 5})
    (task,) = prepare("gsm8k_majority", spec, around(), limit=3)
    greedy, drawn = task.items[0].requests
    assert isinstance(drawn, Generate) and isinstance(greedy, Generate)
    assert (greedy.temperature, greedy.n, drawn.temperature, drawn.top_p, drawn.n) == (0.0, 1, 0.6, 0.95, 5)
    gold = {item.context: item.row["solution"].split("####")[1].strip() for item in task.items}

    def writes(request: Generate, number: int) -> list[str]:
        right = f"The answer is {gold[request.context]}."
        return ["no idea"] if request.n == 1 else ["The answer is -1.", right, "hm", "hm hm", f"so {right}"]

    found = ask(task, Oracle(writes=writes))
    assert found.figures["exact_match"].value == 0.0 and found.figures["maj1@k"].value == 1.0
    assert load(["gsm8k_majority", "math_majority"])["math_majority"].options["majority"] == 256


CODE = {"humaneval": "canonical_solution", "mbpp": "code"}


def programs(name: str, limit: int | None, field: str) -> dict[str, Any]:
    options = {"draws": [{"k": 1, "n": 2, "temperature": 0.1}]}
    spec = spec_of(name, shots=(0,), options=options)
    (task,) = prepare(name, spec, around(allow_code_execution=True), limit=limit)
    rows = {item.context: item.row for item in task.items}
    found = ask(task, Oracle(writes=lambda request, number: [rows[request.context][field], "    pass\n"]))
    return {"passed": [item["passed"][0] for item in found.items], "value": found.figures["pass@1"].value}


@pytest.mark.parametrize("name", CODE)
def test_reference_programs_pass_and_empty_ones_do_not(name: str) -> None:
    found = programs(name, 10, CODE[name])
    assert found["passed"] == [[True, False]] * 10 and found["value"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n", "least"), [("humaneval", 164, 164), ("mbpp", 500, 499)])
def test_all_reference_programs_pass(name: str, n: int, least: int) -> None:
    found = programs(name, None, CODE[name])
    assert len(found["passed"]) == n
    assert sum(right for right, _ in found["passed"]) >= least
    assert not any(empty for _, empty in found["passed"])


@pytest.mark.parametrize("name", ["humaneval", "humaneval_100", "mbpp", "mbpp_80"])
def test_a_busy_machine_takes_no_programs_time_away(name: str) -> None:
    """The computing is bounded; the clock leaves room for eight programs a core beside it."""
    limits = spec_of(name).options["limits"]
    assert limits == dataclasses.asdict(Limits()) and limits["seconds"] >= 8 * limits["cpu_seconds"]


def test_code_is_not_run_unless_it_is_allowed() -> None:
    with pytest.raises(UserError, match="allow_code_execution=true") as caught:
        prepare("humaneval", spec_of("humaneval"), around())
    assert "\n" not in str(caught.value)


def test_more_programs_than_are_drawn_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match="pass@100 of 10 programs"):
        options = {"draws": [{"k": 100, "n": 10, "temperature": 0.8}]}
        prepare("humaneval", spec_of("humaneval", options=options), around(allow_code_execution=True))


def test_the_draws_are_the_papers() -> None:
    draws = {
        name: spec.options["draws"] for name, spec in load(["humaneval", "humaneval_100", "mbpp", "mbpp_80"]).items()
    }
    assert {name: (draw["k"], draw["temperature"]) for name, (draw,) in draws.items()} == {
        "humaneval": (1, 0.1), "humaneval_100": (100, 0.8), "mbpp": (1, 0.1), "mbpp_80": (80, 0.8),
    }  # fmt: skip
    (task,) = prepare("mbpp", spec_of("mbpp", shots=(0,)), around(allow_code_execution=True), limit=1)
    assert 'tests:\n\nassert remove_Occ("hello","l") == "heo"\nassert' in task.items[0].context


def test_mbpp_as_it_is_published_takes_tasks_11_to_510_and_three_examples(tmp_path: Path) -> None:
    (tmp_path / "mbpp").mkdir()
    rows = [
        {"task_id": n, "text": f"Task {n}.", "code": f"def f():\n    return {n}", "test_setup_code": "x = 1",
         "test_list": [f"assert f() == {n}", "assert x"]}
        for n in (1, 2, 3, 4, 5, 10, 11, 12, 510, 511)
    ]  # fmt: skip
    (tmp_path / "mbpp" / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (task,) = prepare("mbpp", spec_of("mbpp"), Surroundings(tmp_path, allow_code_execution=True, say=lambda _: None))
    assert [item.row["text"] for item in task.items] == ["Task 11.", "Task 12.", "Task 510."]
    context = task.items[0].context
    assert [f"Task {n}." in context for n in (1, 2, 3, 4, 5, 11)] == [False, True, True, True, False, True]
    assert context.count("[DONE]\n\n") == 3 and context.endswith("assert f() == 11\nassert x\n[BEGIN]\n")
    assert ask(task, writer([task], lambda row: row["code"])).figures["pass@1"].value == 1.0
