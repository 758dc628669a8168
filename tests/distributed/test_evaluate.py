"""Several processes evaluate as one does: packtrain evaluate, and the tasks that are asked while training"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from packtrain.cli import main
from tests.distributed.launch import torchrun, train
from tests.tiny_run import make_run, make_tokenizer

ROWS = [{"question": f"def f{i}", "choices": ["(x):", " packs", "return"], "gold": i % 3} for i in range(80)]
OPEN = [{"question": f"def f{i}", "answer": ["(x)"]} for i in range(70)]
TASKS = ("tasks=[openbookqa,nq_open]", "tasks.nq_open.shots=[0,1]", "tasks.nq_open.options.max_tokens=4")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    make_run(folder)
    for name, rows in {
        "commonsense/openbookqa.test.jsonl": ROWS, "commonsense/piqa.test.jsonl": ROWS,
        "nq_open/NQ-open.dev.jsonl": OPEN, "nq_open/NQ-open.train.jsonl": OPEN,
    }.items():  # fmt: skip
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arguments(made: Path, output: Path, *overrides: str) -> list[str]:
    return [
        "evaluate", f"checkpoint={made / 'runs' / 'tiny'}", "device=cpu", f"data_dir={made / 'data'}",
        f"output={output}", *overrides,
    ]  # fmt: skip


def test_two_ranks_write_the_file_of_one_byte_for_byte(made: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main(arguments(made, one, *TASKS)) == 0
    ended = torchrun(2, "-m", "packtrain", *arguments(made, two, *TASKS))
    assert ended.code == 0, ended.output
    assert two.read_bytes() == one.read_bytes()
    assert ended.output.count("every item: ") == 1, "one rank speaks"
    assert "evaluate openbookqa: 1 batches" in ended.output, "of two"


def test_a_model_split_over_two_processes_gives_ones_likelihoods_and_texts_and_shares_the_work(tmp_path: Path) -> None:
    make_tokenizer(tmp_path / "tokenizer.model")
    worker = Path(__file__).with_name("answers_worker.py")
    ended = torchrun(2, worker, tmp_path / "tokenizer.model")
    assert ended.code == 0 and ended.output.count("equal ") == 3, ended.output


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["parallel.tensor=1", "parallel.tensor=2"])
def test_scores_while_training_on_two_ranks_are_those_of_evaluate_on_the_sharded_checkpoint(
    made: Path, tmp_path: Path, mesh: str
) -> None:
    asked = {
        "data.path": made / "shards", "data.vocab_size": "null", "callbacks.downstream.data_dir": made / "data",
        "callbacks.downstream.tasks": "[piqa,openbookqa,nq_open@1]", "callbacks.downstream.interval_tokens": 640,
        "data.batch_tokens": 128, "data.tokens": 1280, "callbacks.checkpointing.interval_tokens": 640,
    }  # fmt: skip
    ended = train(2, tmp_path, mesh, *(f"{key}={value}" for key, value in asked.items()), name="r")
    assert ended.code == 0, ended.output
    run, output = tmp_path / "runs" / "r", tmp_path / "out.json"
    with (run / "metrics.csv").open(newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    wanted = ("tasks=[piqa,openbookqa,nq_open]", "tasks.nq_open.shots=[1]", "device=cpu", f"output={output}")
    assert main(["evaluate", f"checkpoint={run}", f"data_dir={made / 'data'}", "limit=200", *wanted]) == 0
    for name, found in json.loads(output.read_text())["tasks"].items():
        figure = found["figures"][found["metric"]]["value"]
        assert figure == pytest.approx(float(last[f"tasks/{name}/{found['metric']}"])), name
    again = tmp_path / "again.json"
    ended = torchrun(
        2, "-m", "packtrain", "evaluate", f"checkpoint={run}", f"data_dir={made / 'data'}", "limit=200", *wanted[:3],
        f"output={again}",
    )  # fmt: skip
    assert ended.code == 0 and again.read_bytes() == output.read_bytes(), ended.output
