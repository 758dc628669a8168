"""Scores of tasks against tokens: in metrics.csv, TensorBoard and the report, and those that evaluate gives."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from packtrain.cli import main
from packtrain.training.events import read_events
from tests.tiny_run import make_pack, make_tokenizer

ROWS = [{"question": f"def f{i}", "choices": ["(x):", " packs", "return"], "gold": i % 3} for i in range(12)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downstream")
    make_pack(folder / "pack", make_tokenizer(folder / "tokenizer.model"))
    (folder / "data" / "commonsense").mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    for name in ("piqa.test.jsonl", "openbookqa.test.jsonl"):
        (folder / "data" / "commonsense" / name).write_text(text)
    (folder / "data" / "nq_open").mkdir()
    for number, name in enumerate(("NQ-open.dev.jsonl", "NQ-open.train.jsonl")):
        (folder / "data" / "nq_open" / name).write_text(
            json.dumps({"question": f"who {number}", "answer": ["I"]}) + "\n"
        )
    assert train(folder, "callbacks.downstream.tasks=[piqa,openbookqa,nq_open@1]") == 0
    return folder


def train(folder: Path, *overrides: str) -> int:
    return main([
        "train", "name=r", f"runs_dir={folder / 'runs'}", "data=packed", f"data.path={folder / 'pack'}",
        "data.sequence_length=32", "data.micro_batch=2", "data.batch_tokens=64", "data.tokens=640", "model.dim=32",
        "model.n_heads=2", "model.ffn_multiple_of=32", "optim.warmup_steps=2",
        f"callbacks.downstream.data_dir={folder / 'data'}", "callbacks.downstream.interval_tokens=320", *overrides,
    ])  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_scores_stand_in_the_log_and_in_tensorboard_against_tokens(trained: Path) -> None:
    run = trained / "runs" / "r"
    found = {int(row["tokens"]): row["tasks/piqa/acc_char"] for row in rows(run) if row["tasks/piqa/acc_char"]}
    assert list(found) == [320, 640] and all(0 <= float(value) <= 1 for value in found.values())
    tags = {v.tag for file in run.glob("events.out.tfevents.*") for e in read_events(file) for v in e.summary.value}
    assert {"tasks/piqa/acc_char", "tasks/piqa/acc_char_vs_tokens", "tasks/openbookqa/acc_answer"} <= tags
    assert "tasks/nq_open/exact_match_vs_tokens" in tags, "open questions are part of the paper's figure"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["tasks"]["piqa"]["n"] == 12


def test_the_last_score_is_what_evaluate_gives(trained: Path, tmp_path: Path) -> None:
    run, output = trained / "runs" / "r", tmp_path / "out.json"
    wanted = ("tasks=[piqa,openbookqa]", f"data_dir={trained / 'data'}", "device=cpu", f"output={output}")
    assert main(["evaluate", f"checkpoint={run}", *wanted]) == 0
    record: dict[str, Any] = json.loads(output.read_text())["tasks"]
    last = rows(run)[-1]
    assert record["piqa"]["figures"]["acc_char"]["value"] == pytest.approx(float(last["tasks/piqa/acc_char"]))
    found = record["openbookqa"]["figures"]["acc_answer"]["value"]
    assert found == pytest.approx(float(last["tasks/openbookqa/acc_answer"]))


def test_the_report_draws_them(trained: Path) -> None:
    assert main(["report", f"runs={trained / 'runs' / 'r'}"]) == 0
    run = trained / "runs" / "r"
    assert (run / "figures" / "tasks.png").is_file()
    assert "Scores of tasks against tokens" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callbacks.downstream.tasks=[pika]", "did you mean 'piqa'"),
        ("callbacks.downstream.tasks=[siqa]", "task siqa: no commonsense/social_i_qa.test.jsonl"),
        ("callbacks.downstream.tasks=[nq_open@99]", "task nq_open: shots=99, but there are 1 examples"),
        (
            "callbacks.downstream.tasks=[gsm8k_majority]",
            "gsm8k_majority draws texts by chance; ask it with packtrain ev",
        ),
        ("callbacks.downstream.tasks=[mine.yaml]", "mine needs a sandbox, a judge or a service; ask it with packtrain"),
        ("callbacks.downstream.limit=0", "limit and batch_tokens must be at least 1"),
    ],
)
def test_bad_input_is_said_before_training(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, override: str, message: str
) -> None:
    monkeypatch.chdir(trained)
    path = trained / "data" / "gsm8k" / "test.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"question": "1?", "answer": "#### 1", "text": "x"}) + "\n")
    (path.parent / "train.jsonl").write_text(path.read_text() * 8)
    (trained / "scores.jsonl").write_text('{"text": "a", "toxicity": 0}\n')
    (trained / "mine.yaml").write_text(
        "{scoring: toxicity, metric: basic, prompt: '{text}', sources: [{path: gsm8k/test.jsonl}], "
        "options: {scorer: recorded, scores: scores.jsonl}}"
    )
    assert train(trained, override, "name=other") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("packtrain:")]
    assert len(error) == 1 and message in error[0] and not (trained / "runs" / "other" / "metrics.csv").exists()
