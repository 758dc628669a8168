"""packtrain evaluate tasks=… with a real, untrained model: texts are written, programs run, judged and recorded"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packtrain import cli
from tests.tiny_run import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    make_run(folder)
    files = {
        "nq_open/NQ-open.dev.jsonl": [{"question": f"who packs {n}", "answer": ["a llama"]} for n in range(3)],
        "nq_open/NQ-open.train.jsonl": [{"question": f"who carries {n}", "answer": ["a mule"]} for n in range(3)],
        "gsm8k/test.jsonl": [{"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}],
        "humaneval/HumanEval.jsonl": [
            {"prompt": "def one():\n", "test": "def check(f):\n    assert f() == 1", "entry_point": "one"}
        ],
        "truthfulqa/TruthfulQA.csv": [],
    }
    for name, rows in files.items():
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "data" / "truthfulqa" / "TruthfulQA.csv").write_text("Question\nWhat is it?\n")
    return folder


def evaluate(made: Path, *overrides: str) -> int:
    return cli.main(
        ["evaluate", f"checkpoint={made / 'runs' / 'tiny'}", "device=cpu", f"data_dir={made / 'data'}", *overrides]
    )


def test_a_real_model_writes_and_the_record_holds_its_texts(made: Path, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "out.json"
    overrides = [
        "tasks=[nq_open,gsm8k_majority]", "tasks.nq_open.shots=[0,1]", "tasks.nq_open.options.max_tokens=4",
        "tasks.gsm8k_majority.shots=[0]", "tasks.gsm8k_majority.options.max_tokens=4",
        "tasks.gsm8k_majority.options.majority=3",
    ]  # fmt: skip
    assert evaluate(made, *overrides, f"output={output}") == 0
    found = json.loads(output.read_text())["tasks"]
    assert set(found) == {"nq_open@0", "nq_open@1", "gsm8k_majority"}
    assert all(isinstance(item["text"], str) for item in found["nq_open@1"]["items"])
    assert found["nq_open@0"]["figures"]["exact_match"] == {"value": 0.0, "stderr": 0.0, "n": 3}
    assert len(found["gsm8k_majority"]["items"][0]["votes"]) == 3
    assert "maj1@k" in capsys.readouterr().out


def test_its_programs_are_run_when_that_is_allowed(made: Path, tmp_path: Path, capsys: Any) -> None:
    path = "tasks.humaneval.sources=[{path: humaneval/HumanEval.jsonl}]"
    few = "tasks.humaneval.options.draws=[{k: 1, n: 2, temperature: 0.8}]"
    short = "tasks.humaneval.options.max_tokens=4"
    output = f"output={tmp_path / 'out.json'}"
    assert evaluate(made, "tasks=[humaneval]", path, few, short, output) == 2
    message = capsys.readouterr().err
    assert "allow it with allow_code_execution=true" in message and "Traceback" not in message
    assert evaluate(made, "tasks=[humaneval]", path, few, short, output, "allow_code_execution=true") == 0
    (item,) = json.loads((tmp_path / "out.json").read_text())["tasks"]["humaneval"]["items"]
    assert item["passed"] == [[False, False]] and item["why"]
    assert "held by" in capsys.readouterr().err


def test_a_checkpoint_of_ours_is_a_judge(made: Path, tmp_path: Path, capsys: Any) -> None:
    judge = f"tasks.truthfulqa_generation.options.truth_judge={made / 'runs' / 'tiny'}"
    few = "tasks.truthfulqa_generation.options.max_tokens=4"
    output = tmp_path / "out.json"
    assert evaluate(made, "tasks=[truthfulqa_generation]", few, f"output={output}") == 2
    assert "needs a judge: tasks.truthfulqa_generation.options.truth_judge=PATH" in capsys.readouterr().err
    assert evaluate(made, "tasks=[truthfulqa_generation]", few, judge, f"output={output}") == 0
    (item,) = json.loads(output.read_text())["tasks"]["truthfulqa_generation"]["items"]
    assert isinstance(item["truthful"], bool)


def test_a_scorer_without_its_key_is_one_line_and_exit_code_2(made: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    assert evaluate(made, "tasks=[realtoxicityprompts]") == 2
    message = capsys.readouterr().err.strip()
    assert "scorer=perspective needs its key in PERSPECTIVE_API_KEY" in message and "\n" not in message
