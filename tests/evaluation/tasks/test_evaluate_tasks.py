"""packtrain evaluate tasks=…: from the command line to the record, resumable, deterministic"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packtrain import cli
from packtrain.errors import UserError
from packtrain.evaluation.tasks import runner
from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.tasks.spec import load
from packtrain.jobs import evaluate_tasks
from packtrain.jobs.evaluate_job import EvaluateJob
from packtrain.jobs.opening import open_model
from tests.tiny_run import make_run

ROWS = [{"question": f"def f{i}", "choices": ["(x):", f"{i} packs tokens", "return"], "gold": i % 3} for i in range(30)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/tiny and data/, with the files of two tasks."""
    folder = tmp_path_factory.mktemp("evaluate")
    make_run(folder)
    (folder / "data" / "commonsense").mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    for name in ("openbookqa.test.jsonl", "openbookqa.train.jsonl", "ARC-Easy.test.jsonl"):
        (folder / "data" / "commonsense" / name).write_text(text)
    return folder


def evaluate(made: Path, *overrides: str) -> int:
    return cli.main(
        ["evaluate", f"checkpoint={made / 'runs' / 'tiny'}", "device=cpu", f"data_dir={made / 'data'}", *overrides]
    )


def test_the_record_holds_every_likelihood_and_what_it_was_made_from(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    assert evaluate(made, "tasks=[openbookqa,arc_easy]", f"output={output}", "sequence_length=16") == 0
    record = json.loads(output.read_text())
    found = record["tasks"]["openbookqa"]
    assert len(record["made_from"]["model_sha256"]) == len(found["sha256"]) == 64
    assert found["metric"] == "acc_answer" and found["figures"]["acc_answer"]["n"] == 30 == len(found["items"])
    assert all(len(item["likelihoods"]) == len(item["unconditional"]) == 3 for item in found["items"])
    right = [max(range(3), key=lambda c, i=i: i["likelihoods"][c]) == i["gold"] for i in found["items"]]
    assert found["figures"]["acc"]["value"] == pytest.approx(sum(right) / 30)
    screen = capsys.readouterr().out
    assert "57.2" in screen and "72.8" in screen, "the paper's 7B beside it"
    assert "arc_easy: 30 of 30 prompts were longer than the context" in screen
    assert not (tmp_path / "out.json.part").exists()


def test_done_tasks_are_not_asked_again_and_others_are_added(made: Path, tmp_path: Path, monkeypatch: Any) -> None:
    output = f"output={tmp_path / 'out.json'}"
    assert evaluate(made, "tasks=openbookqa", output) == 0
    first = json.loads((tmp_path / "out.json").read_text())
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_tasks, "ModelAnswerer", lambda *_: pytest.fail("asked again"))
        assert evaluate(made, "tasks=openbookqa", output) == 0
    assert evaluate(made, "tasks=arc_easy", output) == 0
    second = json.loads((tmp_path / "out.json").read_text())
    assert second["tasks"]["openbookqa"] == first["tasks"]["openbookqa"]
    assert set(second["tasks"]) == {"openbookqa", "arc_easy"}
    assert evaluate(made, "tasks=openbookqa", output, "tasks.openbookqa.shots=[2]") == 0
    third = json.loads((tmp_path / "out.json").read_text())
    assert third["tasks"]["openbookqa"]["shots"] == 2


def test_overwrite_asks_the_named_tasks_again_and_keeps_the_others(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert evaluate(made, "tasks=[openbookqa,arc_easy]", f"output={path}", "limit=4") == 0
    first = json.loads(path.read_text())["tasks"]
    assert evaluate(made, "tasks=arc_easy", f"output={path}", "limit=4", "overwrite=true") == 0
    assert "1 batches" in capsys.readouterr().err
    assert json.loads(path.read_text())["tasks"] == first
    assert evaluate(made, "tasks=arc_easy", f"output={tmp_path}", "overwrite=true") == 2
    assert "is a folder" in capsys.readouterr().err and list(tmp_path.iterdir()) == [path]


def test_an_interrupted_evaluation_goes_on_where_it_stopped_and_ends_the_same(
    made: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(runner, "BATCH_ITEMS", 4)
    assert evaluate(made, "tasks=openbookqa", f"output={tmp_path / 'whole.json'}") == 0
    real, asked = runner.compute, []

    def torn(task: Any, answerer: Any, batch: Any) -> Any:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(batch))
        return real(task, answerer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "compute", torn)
        assert evaluate(made, "tasks=openbookqa", f"output={tmp_path / 'cut.json'}") == 130
    spool = tmp_path / "cut.json.part" / "openbookqa.0.jsonl"
    lines = spool.read_text().splitlines()
    assert len(lines) == 1 + 12
    spool.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])  # the kill tore the last line
    counted = []
    monkeypatch.setattr(runner, "compute", lambda *a: counted.append(len(a[2])) or real(*a))
    assert evaluate(made, "tasks=openbookqa", f"output={tmp_path / 'cut.json'}") == 0
    assert sum(counted) == 30 - 8
    assert json.loads((tmp_path / "cut.json").read_text()) == json.loads((tmp_path / "whole.json").read_text())


def test_the_size_of_a_forward_changes_no_figure(made: Path, tmp_path: Path) -> None:
    records = []
    for tokens in (1, 4096):
        output = tmp_path / f"{tokens}.json"
        assert evaluate(made, "tasks=openbookqa", f"output={output}", f"batch_tokens={tokens}") == 0
        records.append(json.loads(output.read_text())["tasks"]["openbookqa"])
    a, b = ([x for item in record["items"] for x in item["likelihoods"]] for record in records)
    assert a == pytest.approx(b, abs=1e-4)


def test_a_users_file_and_overrides_of_a_task_reach_it(made: Path, tmp_path: Path) -> None:
    text = "scoring: choice\nmetric: acc\nprompt: '{question}'\nsources: [{path: commonsense/ARC-Easy.test.jsonl}]\n"
    (tmp_path / "mine.yaml").write_text(text)
    output = tmp_path / "out.json"
    assert evaluate(made, f"task_file=[{tmp_path / 'mine.yaml'}]", f"output={output}", "limit=5") == 0
    assert json.loads(output.read_text())["tasks"]["mine"]["n"] == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tasks=openbokqa"], "did you mean 'openbookqa'"),
        (["tasks=[piqa,openbokqa]"], "did you mean 'openbookqa'"),
        (["tasks=piqa"], "task piqa: no commonsense/piqa.test.jsonl or piqa/valid.jsonl below"),
        (["tasks=openbookqa", "tasks.openbookqa.shots=[31]"], "but there are 30 examples"),
        (["task_file=[nowhere.yaml]"], "task_file=nowhere.yaml: No such file"),
        (["tasks=arc_easy", "tasks.arc_easy.metric=acc_norm"], "metric=acc_norm: scoring 'choice' gives acc, acc_char"),
        (["tasks=arc_easy", "tasks.arc_easy.metric=acc_answer"], "acc_answer needs options.unconditional"),
        (
            ["tasks=openbookqa", "sequence_length=65"],
            "sequence_length=65 is longer than the model's max_sequence_length=64",
        ),
        (["tasks=openbookqa", "limit=0"], "limit=0: expected at least 1"),
        (["tasks=openbookqa", "output=/dev/null/x/out.json"], "/dev/null is no folder that you may write to"),
        (["tasks=[]"], "data_dir, limit and allow_code_execution are for tasks: say which, with tasks=[NAME]"),
    ],
)
def test_bad_input_is_one_line(
    made: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    assert evaluate(made, *overrides) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]


def test_results_of_another_model_are_not_replaced_unasked(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    assert evaluate(made, "tasks=openbookqa", f"output={output}") == 0
    specs = load(["openbookqa"])
    job = EvaluateJob(
        checkpoint=str(made / "runs" / "tiny"), tasks=specs, data_dir=str(made / "data"), output=str(output),
        precision="bf16", device="cpu",
    )  # fmt: skip
    with pytest.raises(UserError, match="holds results of another model"):
        evaluate_tasks.run(job)


def test_the_shares_of_several_ranks_are_the_whole_to_the_last_bit(made: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "BATCH_ITEMS", 4)
    ready = open_model(str(made / "runs" / "tiny"), None, "cpu", None, print)
    model = ModelAnswerer(ready.decoder(), ready.tokenizer, 64, 512)
    (task,) = runner.prepare("openbookqa", load(["openbookqa"])["openbookqa"], Surroundings(made / "data"))

    def share(rank: int, ranks: int) -> dict[int, Any]:
        return runner.run_task(task, model, None, lambda found, total, key: found, rank, ranks)

    shares = [share(rank, 3) for rank in range(3)]
    assert all(shares) and sum(map(len, shares)) == 30
    assert {index: line for found in shares for index, line in found.items()} == share(0, 1)
