"""lm-eval's own hf model on our export and our model through the adapter: the same likelihoods, the same accuracies."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from packtrain import cli
from packtrain.evaluation import harness
from packtrain.evaluation.tasks.runner import prepare
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.tasks.spec import load
from tests.export.making import make_run

TASKS = ("piqa", "arc_easy", "winogrande")
LIMIT = 1e-4  # nats, of a whole continuation
FILES = {"piqa": "piqa.test.jsonl", "arc_easy": "ARC-Easy.test.jsonl", "winogrande": "winogrande.test.jsonl"}


def rows(name: str) -> list[dict[str, Any]]:
    if name == "winogrande":
        return [
            {"question": f"The bag fed {i} llamas, so the _ was {word}.", "choices": ["bag", "barn"], "gold": i % 2}
            for i, word in enumerate(["empty", "full", "loud", "small"] * 5)
        ]
    words = ["packs tokens", "return x * 2", "a llama", "Ünïcödé", "it is", "the long way around"]
    return [
        {"question": f"What is {i} of {words[i % 6]}?", "choices": words[i % 3 : i % 3 + 2 + i % 3], "gold": i % 2}
        for i in range(20)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its Hugging Face export, and the files of three tasks."""
    folder = tmp_path_factory.mktemp("harness")
    run = make_run(folder)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("sequence_length: 64", "sequence_length: 128"))
    (folder / "data" / "commonsense").mkdir(parents=True)
    for name in TASKS:
        text = "".join(json.dumps(row) + "\n" for row in rows(name))
        (folder / "data" / "commonsense" / FILES[name]).write_text(text)
    assert cli.main(["export", f"checkpoint={run}", "format=hf", f"output={folder / 'hf'}"]) == 0
    return folder


def evaluate(made: Path, *overrides: str) -> int:
    return cli.main(
        ["evaluate", f"checkpoint={made / 'runs' / 'small'}", f"data_dir={made / 'data'}", "device=cpu", *overrides]
    )


@pytest.fixture(scope="module")
def ours(made: Path) -> dict[str, Any]:
    with redirect_stderr(io.StringIO()) as told:
        assert evaluate(made, f"tasks=[{','.join(TASKS)}]", "harness=lm_eval", f"output={made / 'ours.json'}") == 0
    assert told.getvalue() == "", "off a terminal no bars, no warnings"
    return json.loads((made / "ours.json").read_text())["tasks"]


@pytest.fixture(scope="module")
def theirs(made: Path) -> dict[str, Any]:
    """lm-eval's own model class on the export, over the same files of tasks."""
    from lm_eval.models.huggingface import HFLM

    around = Surroundings(data_dir=made / "data")
    tasks = [task for name, spec in load(TASKS).items() for task in prepare(name, spec, around)]
    names = [harness.export_task(task, made / "lm_eval") for task in tasks]
    cls: Any = HFLM  # its decorators hide its parameters
    model = cls(pretrained=str(made / "hf"), batch_size=4, device="cpu", dtype="float32")
    found = harness.run(model, names, [made / "lm_eval"])
    return {task.key: {"figures": found["results"][name], "items": found["samples"][name]} for task, name in zip(tasks, names, strict=True)}  # fmt: skip # noqa: E501


@pytest.mark.parametrize("name", TASKS)
def test_the_adapter_agrees_with_lm_eval_s_own_model_on_our_export(name: str, ours: Any, theirs: Any) -> None:
    expected = {sample["doc_id"]: sample["filtered_resps"] for sample in theirs[name]["items"]}
    assert len(expected) == len(ours[name]["items"]) == 20
    for item in ours[name]["items"]:
        for (nats, greedy), (other, other_greedy) in zip(item["answers"], expected[item["index"]], strict=True):
            assert nats == pytest.approx(other, abs=LIMIT) and greedy == other_greedy
    for metric in ("acc", "acc_norm"):
        assert ours[name]["figures"][metric]["value"] == theirs[name]["figures"][f"{metric},none"]


@pytest.mark.parametrize("name", TASKS)
def test_the_native_runner_agrees_in_lm_eval_s_convention(name: str, made: Path, theirs: Any, tmp_path: Path) -> None:
    output = tmp_path / "native.json"
    assert evaluate(made, f"tasks=[{name}]", f"output={output}") == 0
    native = json.loads(output.read_text())["tasks"][name]
    expected = {sample["doc_id"]: sample["filtered_resps"] for sample in theirs[name]["items"]}
    for item in native["items"]:
        assert item["likelihoods"] == pytest.approx([other for other, _ in expected[item["index"]]], abs=LIMIT)
    assert native["figures"]["acc"]["value"] == theirs[name]["figures"]["acc,none"]
    if name != "winogrande":  # lm-eval divides there by the characters of the contexts, which are no choices
        assert native["figures"]["acc_char"]["value"] == theirs[name]["figures"]["acc_norm,none"]


def test_a_rolling_likelihood_is_that_of_the_whole_text(made: Path) -> None:
    from lm_eval.api.instance import Instance

    from packtrain.evaluation.tasks.answerer import ModelAnswerer
    from packtrain.evaluation.tasks.packing import Wanted
    from packtrain.jobs.opening import open_model

    ready = open_model(str(made / "runs" / "small"), None, "cpu", None, print)
    model = harness.HarnessModel(ModelAnswerer(ready.decoder(), ready.tokenizer, 128, 512))
    text = "def f(x):\n    return x * 2\n"
    ids = ready.tokenizer.encode(text)
    asked = [Instance("loglikelihood_rolling", {}, (text,), 0), Instance("loglikelihood_rolling", {}, (text * 9,), 1)]
    found = model.loglikelihood_rolling(asked)
    ((whole, _),) = model.answerer.score([Wanted([ready.tokenizer.bos_id, *ids], 1)])
    assert found[0] == pytest.approx(whole, abs=LIMIT) and found[1] < found[0] * 3


def test_texts_end_before_the_first_stop(made: Path) -> None:
    asked = harness.generation("Q:", {"until": "\n", "max_gen_toks": 5, "do_sample": False, "temperature": 0.0})
    assert (asked.stop, asked.max_tokens, asked.temperature) == (("\n",), 5, 0.0)


def test_a_folder_of_lm_eval_s_own_task_files(made: Path, tmp_path: Path) -> None:
    data = made / "data" / "commonsense" / "ARC-Easy.test.jsonl"
    (tmp_path / "mine.yaml").write_text(
        f"task: mine\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {tmp_path}}}\n"
        "output_type: multiple_choice\ntest_split: test\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\n"
        "doc_to_target: gold\nmetric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    output = tmp_path / "out.json"
    wanted = (f"harness_path={tmp_path}", "harness=lm_eval", f"output={output}")
    spooled = tmp_path / f"{output.name}.part" / "piqa.0.jsonl"
    spooled.parent.mkdir()
    spooled.write_text("a native evaluation that was interrupted")
    assert evaluate(made, "harness_tasks=[mine]", *wanted, "limit=1", "overwrite=true") == 0
    assert len(json.loads(output.read_text())["tasks"]["mine"]["items"]) == 1
    assert spooled.is_file() and list(spooled.parent.iterdir()) == [spooled]
    spooled.unlink()
    assert evaluate(made, "harness_tasks=[mine]", *wanted, "overwrite=true") == 0
    assert not spooled.parent.exists()
    assert json.loads(output.read_text())["tasks"]["mine"]["n"] == 20


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["harness=lm_eval"], "which tasks?"),
        (["harness_tasks=[x]"], "go together, with harness=lm_eval"),
        (["harness=lm_evl"], "did you mean 'lm_eval'"),
        (["harness=lm_eval", "tasks=crows_pairs"], "below data_dir"),
        (["harness=lm_eval", "harness_tasks=[nothing]", "harness_path=."], "lm-eval has no task 'nothing'"),
    ],
)
def test_bad_input_is_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    assert evaluate(made, f"output={tmp_path / 'x.json'}", *overrides) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("packtrain:")]
    assert len(error) == 1 and message in error[0]


@pytest.mark.parametrize("wanted", [("harness=lm_eval", "tasks=piqa"), ()])
def test_what_one_process_does_is_refused_by_the_first_of_several_and_the_others_are_silent(
    made: Path, monkeypatch: Any, capsys: Any, wanted: tuple[str, ...]
) -> None:
    words = [f"checkpoint={made / 'runs' / 'small'}", *wanted]
    monkeypatch.setattr("packtrain.parallel.processes.time.sleep", lambda _: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert cli.main(["evaluate", *words]) == 2
    assert re.fullmatch(r"packtrain: .*one process; leave torchrun out.*all ranks.*", capsys.readouterr().err.strip())
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", *words])
    assert capsys.readouterr().err == ""


def test_without_lm_eval_the_extra_is_named(made: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.delitem(sys.modules, "packtrain.evaluation.harness")
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert evaluate(made, "harness=lm_eval", "tasks=piqa") == 2
    assert "pip install 'packtrain[eval]'" in capsys.readouterr().err
