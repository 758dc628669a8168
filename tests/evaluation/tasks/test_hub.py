"""Every task's hub source, by datasets' own loader, from folders that lie where it looks before it asks the hub: rows
as the data sets have them there → the same prompts and golds as from their authors' files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import pytest

from packtrain.errors import UserError
from packtrain.evaluation.tasks.data import load_data
from packtrain.evaluation.tasks.requests import Likelihood
from packtrain.evaluation.tasks.runner import Prepared, prepare
from packtrain.evaluation.tasks.scoring import Judge, Surroundings
from packtrain.evaluation.tasks.spec import Hub, TaskSpec, conf_tasks, load
from tests.evaluation.tasks.oracles import Oracle
from tests.evaluation.tasks.test_written import spec_of

FOUR = {"text": ["so", "no", "oh", "ah"], "label": ["A", "B", "C", "D"]}
SCIENCE = {"id": "1", "question": "Why?", "choices": FOUR, "answerKey": "B"}
RACE = {"example_id": "1", "article": "A fox.", "question": "Which?", "options": ["a", "b", "c", "d"], "answer": "D"}
TRIVIA = {"question": "Who?", "answer": {"value": "Ada", "aliases": ["Ada", "A. L."], "normalized_aliases": []}}
GSM = {"question": "1 + 1?", "answer": "It is 2.\n#### 2"}
MATH = {"problem": "$1+1$?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{2}$."}
MBPP = {"task_id": 11, "text": "Add.", "code": "x = 1", "test_list": ["assert x"], "test_setup_code": ""}
TRUTH = {
    "type": "x", "category": "y", "question": "What?", "best_answer": "This", "correct_answers": ["This"],
    "incorrect_answers": ["That"], "source": "z",
}  # fmt: skip
ROWS: dict[str, tuple[dict[str, Any], str, Any]] = {  # task → (row, end of its prompt, gold or what else is to be read)
    "boolq": ({"question": "is salt a mineral", "passage": "Yes.", "answer": True}, "a mineral?\nAnswer:", 1),
    "piqa": ({"goal": "Boil it", "sol1": "Freeze", "sol2": "Heat", "label": 1}, "Boil it\nAnswer:", 1),
    "siqa": (
        {"context": "Jo won.", "question": "How?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "2"},
        "Q: Jo won. How?\nA:", 1,
    ),
    "hellaswag": (
        {"ind": 1, "activity_label": "Roofs", "ctx_a": "A man is up.", "ctx_b": "he", "ctx": "",
         "endings": ["a", "b", "c", "d"], "label": "3"},
        "Roofs: A man is up. He", 3,
    ),
    "winogrande": ({"sentence": "Al fed Bo as _ ate.", "option1": "Al", "option2": "Bo", "answer": "2"}, "as ", 1),
    "arc_easy": (SCIENCE, "Question: Why?\nAnswer:", 1),
    "arc_challenge": (SCIENCE, "Question: Why?\nAnswer:", 1),
    "openbookqa": ({"question_stem": "Foxes eat", "choices": FOUR, "answerKey": "C"}, "Foxes eat", 2),
    "race_middle": (RACE, "Question: Which?\nAnswer:", 3),
    "race_high": (RACE, "Question: Which?\nAnswer:", 3),
    "mmlu": (
        {"question": "Mass?", "subject": "high_school_physics", "choices": ["w", "x", "y", "z"], "answer": 2},
        "D. z\nAnswer:", 2,
    ),
    "nq_open": ({"question": "who", "answer": ["Ada", "Bo"]}, "Q: who\nA:", ["Ada", "Bo"]),
    "triviaqa": (TRIVIA, "Q: Who?\nA:", ["Ada", "A. L."]),
    "gsm8k": (GSM, "Q: 1 + 1?\nA:", GSM["answer"]),
    "gsm8k_majority": (GSM, "Q: 1 + 1?\nA:", GSM["answer"]),
    "math": (MATH, "Problem:\n$1+1$?\n\nSolution:", MATH["solution"]),
    "math_majority": (MATH, "Problem:\n$1+1$?\n\nSolution:", MATH["solution"]),
    "humaneval": ({"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "    pass\n",
                   "test": "def check(f): f()", "entry_point": "f"}, "def f():\n", None),
    "mbpp": (MBPP, "assert x\n[BEGIN]\n", None),
    "realtoxicityprompts": (
        {"filename": "a", "prompt": {"text": "So I", "toxicity": 0.1}, "continuation": {"text": "x"}}, "So I", None,
    ),
    "truthfulqa_mc": (TRUTH, "Q: What?\nA:", None),
    "truthfulqa_generation": (TRUTH, "Q: What?\nA:", None),
}  # fmt: skip
SAME = {"humaneval_100": "humaneval", "mbpp_80": "mbpp"}
OPTIONS = {
    "realtoxicityprompts": {"scorer": "perspective"}, "truthfulqa_generation": {"truth_judge": "judge"},
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Hub, list[dict[str, Any]]], None]]:
    """Puts a data set's split where the loader looks first: OWNER/NAME below the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERSPECTIVE_API_KEY", "key")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    splits: dict[str, dict[str | None, dict[str, str]]] = {}

    def put(of: Hub, rows: list[dict[str, Any]]) -> None:
        folder = Path(of.repository)
        folder.mkdir(parents=True, exist_ok=True)
        for config in of.parts or (of.config,):
            file = f"{config}-{of.split}.jsonl"
            (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
            splits.setdefault(of.repository, {}).setdefault(config, {})[of.split] = file
        configs = [
            {"config_name": config or "default",
             "data_files": [{"split": split, "path": file} for split, file in files.items()]}
            for config, files in splits[of.repository].items()
        ]  # fmt: skip
        (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")

    yield put
    datasets.enable_progress_bars()


def from_hub(name: str, spec: TaskSpec, say: Any = lambda _: None) -> Prepared:
    around = Surroundings(None, allow_code_execution=True, say=say, open_model=lambda _: Judge("sha", Oracle))
    return prepare(name, spec, around)[-1]


@pytest.mark.parametrize("name", ROWS)
def test_a_task_reads_its_set_as_it_stands_on_the_hub(
    name: str, hub: Callable[[Hub, list[dict[str, Any]]], None]
) -> None:
    row, end, gold = ROWS[name]
    spec = spec_of(name, options=OPTIONS.get(name, {}))
    shots = max(spec.shots)
    examples = [row | ({"task_id": 2 + i} if "task_id" in row else {}) for i in range(shots)]
    for source in spec.examples:
        if source.hub and examples:
            hub(source.hub, examples)
    (wanted,) = [source.hub for source in spec.sources if source.hub]
    hub(wanted, [row])
    task = from_hub(name, spec)
    assert len(task.items) == max(1, len(wanted.parts)) and task.data.files[0].startswith(wanted.repository)
    item = task.items[0]
    assert item.context.endswith(end)
    if isinstance(gold, int):
        assert item.row["gold"] == gold
        assert all(isinstance(request, Likelihood) for request in item.requests)
    elif gold is not None:
        assert item.row.get("answers", item.row.get("solution")) == gold


def test_every_task_but_those_whose_hub_copies_are_other_sets_has_a_hub_source() -> None:
    names = {path.name.removesuffix(".yaml") for path in conf_tasks().iterdir() if path.name.endswith(".yaml")}
    single = {name for name in names if set(load([name])) == {name}}
    assert single - set(ROWS) - set(SAME) == {"crows_pairs", "winogender"}
    for name, other in SAME.items():
        assert load([name])[name].sources == load([other])[other].sources


def test_a_set_that_was_fetched_before_is_read_without_a_network(
    hub: Callable[[Hub, list[dict[str, Any]]], None], tmp_path: Path
) -> None:
    """The cache of a machine that had a network, in the layout that datasets gives it."""
    spec = spec_of("gsm8k", shots=(0,))
    (wanted,) = [source.hub for source in spec.sources if source.hub]
    hub(wanted, [GSM])
    first = from_hub("gsm8k", spec)
    (made,) = (tmp_path / "cache" / "gsm8k" / "main" / "0.0.0").glob("[0-9a-f]*[0-9a-f]")
    (tmp_path / "openai" / "gsm8k").rename(tmp_path / "gone")
    cached = tmp_path / "cache" / "openai___gsm8k" / "main" / "0.0.0" / made.name
    cached.parent.mkdir(parents=True)
    made.rename(cached)
    again = from_hub("gsm8k", spec)
    assert again.data.sha256 == first.data.sha256 and again.identity == first.identity


def test_without_a_network_one_line_names_the_set_and_the_other_way(
    hub: Callable[[Hub, list[dict[str, Any]]], None],
) -> None:
    spec = load(["gsm8k"])["gsm8k"]
    with pytest.raises(
        UserError, match=r"hub did not give openai/gsm8k \(\w+\); without a network .* data_dir=PATH"
    ) as e:
        load_data("gsm8k", spec.sources, None)
    assert "\n" not in str(e.value)


def test_a_malformed_row_of_the_hub_is_named_by_its_number(
    hub: Callable[[Hub, list[dict[str, Any]]], None],
) -> None:
    (wanted,) = [source.hub for source in load(["piqa"])["piqa"].sources if source.hub]
    good = ROWS["piqa"][0]
    hub(wanted, [good, good | {"label": 7}])
    with pytest.raises(UserError, match=r"baber/piqa validation, row 2: gold=7 is none of the 2 choices"):
        from_hub("piqa", load(["piqa"])["piqa"])
