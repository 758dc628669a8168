"""A bad document is found, named, skipped or gone around; and a run that was interrupted decides the same"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from packtrain.callbacks.spike_detector import Detector
from packtrain.callbacks.spike_record import by_layer, read_records, write_record
from packtrain.cli import main
from packtrain.errors import UserError
from packtrain.jobs.spike import recorded
from packtrain.model.llama import Llama
from packtrain.training.events import read_events
from packtrain.training.rewind import Rewind, batch_of, read_rewinds, write_rewind
from tests.callbacks.planted import STEP, planted_pack
from tests.training.test_run import STOP, rows

SPIKE = "callbacks.loss_spike."
COMMON = (
    f"{SPIKE}window=5", f"{SPIKE}least=4", f"{SPIKE}threshold=3.5", f"{SPIKE}rewind_steps=8",
    f"{SPIKE}skip_batches=12",
    "data.tokens=8192", "optim.learning_rate=0.01", "~callbacks.domain_loss",
)  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("planted")
    return folder, planted_pack(folder)


@pytest.fixture
def go(train, planted: tuple[Path, int]):
    def run(*overrides: str, name: str = "r"):
        return train(f"data.path={planted[0]}", *COMMON, *overrides, name=name)

    return run


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoints/step-00000032/model.safetensors")


def same(ours: Path, theirs: Path) -> None:
    first, second = weights(ours), weights(theirs)
    assert all(torch.equal(first[name], second[name]) for name in second)
    keys = ("step", "train/loss", "train/grad_norm", "spikes/found", "spikes/skipped", "spikes/rewinds")
    assert [[row[key] for key in keys] for row in rows(ours)] == [[row[key] for key in keys] for row in rows(theirs)]


def test_the_bad_document_is_named_with_its_loss_and_printed_again(go, planted, capsys) -> None:
    outcome = go()
    assert outcome.code == 0, outcome.err
    record = json.loads((outcome.run_dir / f"spikes/step-{STEP:08d}.json").read_text())
    worst = record["sequences"][0]
    assert worst["domain"] == "odd" and planted[1] in [entry["document"] for entry in worst["documents"]]
    assert worst["loss"] > 1.5 * record["median"] and record["action"] == "logged"
    losses = [entry["loss"] for entry in record["sequences"]]
    assert losses == sorted(losses, reverse=True) and len(losses) == 8
    assert sum(losses) / 8 == pytest.approx(record["loss"], rel=1e-5)  # by the weights before the update
    total = math.sqrt(sum(norm**2 for norm in record["gradient_norms"].values()))
    assert total == pytest.approx(record["gradient_norm"], rel=1e-5)
    assert {"tok_embeddings", "layers.0", "layers.1", "norm", "output"} <= record["gradient_norms"].keys()
    assert record["samples"] == [(STEP - 1) * 8, STEP * 8 - 1]
    texts = [
        (e.step, v.tensor.string_val[0].decode())
        for file in outcome.run_dir.glob("events.out.*")
        for e in read_events(file)
        for v in e.summary.value
        if v.tag.startswith("spikes/text")
    ]
    assert any(step == STEP and f"**step {STEP}**: loss" in text for step, text in texts)
    assert json.loads((outcome.run_dir / "summary.json").read_text())["spikes"]["found"] >= 1

    where = (f"runs_dir={outcome.run_dir.parent}", "run=r")
    capsys.readouterr()
    assert main(["spike", *where, f"step={STEP}", "top=1"]) == 0
    shown = capsys.readouterr().out
    assert (
        f"document {planted[1]}:" in shown
        and worst["documents"][0]["text"][:20] in shown
        and "gradient norm by layer" in shown
    )
    assert main(["spike", *where]) == 0 and f"{STEP}" in capsys.readouterr().out
    assert main(["spike", *where, "step=3", "format=json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["recorded"] is False and plain["samples"] == [16, 23] and plain["sequences"][0]["documents"]
    for arguments, said in (
        ((*where, "step=99"), "step=99: "),
        (("run=none", where[0]), "no run 'none'"),
        ((*where, "step=3", f"shards={outcome.run_dir}"), "no packed shards here"),
    ):
        assert main(["spike", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    write_record(outcome.run_dir, {**record, "batch": 40, "samples": [320, 327], "why": "once more", "sequences": []})
    assert main(["spike", *where, f"step={STEP}", "top=1"]) == 0
    both = capsys.readouterr().out
    assert both.index(f"document {planted[1]}:") < both.index("the run went back; then") < both.index("once more")
    assert "samples 320 to 327" in both
    assert main(["spike", *where, f"step={STEP}", "format=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["why"] == "once more" and [one["samples"] for one in told["earlier"]] == [record["samples"]]
    (outcome.run_dir.parent / "other").mkdir()
    (outcome.run_dir.parent / "other" / "config.yaml").write_text("name: other\n")
    assert main(["spike", where[0], "run=other", "step=3"]) == 2
    assert "does not say what was trained on" in capsys.readouterr().err
    (outcome.run_dir / f"spikes/step-{STEP:08d}.json").write_text("{")
    assert main(["spike", *where, f"step={STEP}"]) == 2 and "delete it" in capsys.readouterr().err


def test_a_skipped_update_leaves_the_weights_and_a_resumed_run_skips_the_same(go) -> None:
    whole = go(f"{SPIKE}on_spike=skip", name="whole")
    assert whole.code == 0 and "the update was not applied" in whole.out
    last = rows(whole.run_dir)[-1]
    assert float(last["spikes/skipped"]) >= 1
    at = {int(row["step"]): float(row["spikes/skipped"]) for row in rows(whole.run_dir)}
    assert at[STEP] == at[STEP - 1] + 1
    assert go(STOP % (STEP - 3), f"{SPIKE}on_spike=skip").code == 130
    again = go(f"{SPIKE}on_spike=skip")
    assert again.code == 0 and f"step {STEP}:" in again.out  # found after the resume, by the window before it
    same(again.run_dir, whole.run_dir)
    logged = go(name="logged")
    assert not torch.equal(weights(logged.run_dir)["norm.weight"], weights(whole.run_dir)["norm.weight"])


def test_a_rewound_run_goes_past_the_batches_and_is_the_same_when_interrupted(go, planted) -> None:
    rewind = f"{SPIKE}on_spike=rewind"
    whole = go(rewind, name="whole")
    assert whole.code == 0, whole.err
    first = read_rewinds(whole.run_dir)[0]
    assert first == Rewind(STEP, 15, 27) and "continues after step 15" in whole.out
    table = rows(whole.run_dir)
    assert [int(row["step"]) for row in table] == list(range(1, 33)), "each step stands once"
    assert float(table[-1]["spikes/rewinds"]) == len(read_rewinds(whole.run_dir)) <= float(table[-1]["spikes/found"])
    assert (whole.run_dir / "checkpoints/step-00000020").exists()  # saved before the spike, and again after it
    ledger = json.loads((whole.run_dir / "ledger.json").read_text())
    assert sum(entry["realised_tokens"] for entry in ledger["domains"].values()) == 8192
    assert go(rewind, STOP % (STEP - 2)).code == 130  # between the checkpoint and the spike
    assert go(rewind, STOP % 17).code == 130  # after it was rewound
    again = go(rewind)
    assert again.code == 0, again.err
    same(again.run_dir, whole.run_dir)


def test_a_step_that_spikes_again_after_a_rewind_keeps_the_earlier_record(tmp_path: Path) -> None:
    for batch in (119, 119, 300):  # the second: a run that was killed comes to the same decision
        write_record(tmp_path, {"step": 120, "batch": batch, "kind": "loss", "why": "", "action": ""})
    assert [path.name for path in sorted((tmp_path / "spikes").iterdir())] == [
        "step-00000120-batch-119.json", "step-00000120.json"
    ]  # fmt: skip
    assert [entry["batch"] for entry in recorded(tmp_path)] == [119, 300]
    with pytest.raises(UserError, match="is no record of a spike; delete it"):
        read_records(tmp_path, 120)


@pytest.mark.slow
def test_a_kill_right_after_the_decision_forgets_what_was_left_behind(go) -> None:
    rewind = f"{SPIKE}on_spike=rewind"
    assert go(rewind, name="whole").code == 0
    stopped = go(STOP % 22, rewind)  # a checkpoint of step 23, of a run that has not decided yet
    assert stopped.code == 130
    write_rewind(stopped.run_dir, Rewind(STEP, 15, 27))
    again = go(rewind)
    assert "continues after step 15" in again.out
    same(again.run_dir, again.run_dir.parent / "whole")


def test_stop_ends_the_run_with_one_line(go) -> None:
    outcome = go(f"{SPIKE}on_spike=stop")
    said = [line for line in outcome.err.splitlines() if not line.startswith("train step")]
    assert outcome.code == 1 and len(said) == 1 and f"at step {STEP}: stopped, as on_spike=stop asks" in said[0]
    assert f"step-{STEP:08d}.json says what the batch held; the same command with on_spike=skip" in said[0]


@pytest.mark.parametrize("choice", ["stop", "skip"])
def test_a_loss_that_is_no_number_is_explained_and_survived_by_choice(go, monkeypatch, choice: str) -> None:
    real, calls = Llama.loss, []

    def loss(self, tokens, targets, *more):
        calls.append(1)
        found = real(self, tokens, targets, *more)
        return found * math.nan if len(calls) == 19 else found

    monkeypatch.setattr(Llama, "loss", loss)
    outcome = go(*([f"{SPIKE}on_nonfinite=skip"] if choice == "skip" else []), "data.tokens=3072")
    record = json.loads((outcome.run_dir / "spikes/step-00000010.json").read_text())  # two micro-batches a step
    assert record["kind"] == "not finite" and record["loss"] == "nan" and len(record["sequences"]) == 8
    assert all(entry["documents"] for entry in record["sequences"]) and record["gradient_norms"]["output"] == "nan"
    if choice == "skip":
        assert outcome.code == 0 and rows(outcome.run_dir)[9]["train/loss"] == "nan"  # measured, and no number
        assert math.isfinite(float(rows(outcome.run_dir)[-1]["train/loss"]))
    else:
        assert outcome.code == 1 and "at step 10: stopped" in outcome.err
        assert "step-00000010.json says what the batch held" in outcome.err


def test_a_model_that_is_at_fault_itself_is_not_skipped_for_ever(go) -> None:
    outcome = go(f"{SPIKE}on_spike=skip", f"{SPIKE}threshold=0.01", f"+{SPIKE}limit=1")
    assert outcome.code == 1 and "the model is at fault, not a batch. Go back with on_spike=rewind" in outcome.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("on_spike=skp", "did you mean 'skip'"),
        ("on_nonfinite=log", "would be the end of the weights; give skip, rewind or stop"),
        ("window=3", "expected 2 ≤ least ≤ window and threshold > 0, not least=4, window=3"),
        ("skip_batches=0", "skip_batches and limit at least 1"),
    ],
)
def test_a_choice_that_is_none_is_one_line(go, override: str, said: str) -> None:
    outcome = go(SPIKE + override)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1


def test_medians_see_a_spike_behind_another_and_take_a_lasting_level_for_the_new_one() -> None:
    detector = Detector(window=20, threshold=8, least=10)
    for step in range(20):
        assert detector.judge(3.0 + 0.01 * (step % 3), 1.0) is None
        detector.add(3.0 + 0.01 * (step % 3), 1.0)
    for _ in range(3):
        found = detector.judge(5.0, 1.0)
        assert found is not None and found.kind == "loss"
        detector.add(5.0, 1.0)
    assert detector.judge(3.02, 1.0) is None and detector.judge(2.0, 0.1) is None  # lower is no spike
    norm = detector.judge(3.0, 9.0)
    assert norm is not None and norm.kind == "gradient norm" and "9.0 times the median" in norm.why
    for _ in range(12):
        detector.add(5.0, 1.0)
    assert detector.judge(5.0, 1.0) is None
    for loss, gradient in ((math.nan, 1.0), (3.0, math.inf)):
        found = detector.judge(loss, gradient)
        assert found is not None and found.kind == "not finite"


def test_another_mixture_is_no_spike(go, planted) -> None:
    """The planted noise read from step 17 on, all the time: a level, of which the window knew nothing."""
    more = ("+data.weights.calm=1", "+changes.late.at_tokens=4096", "+changes.late.weights.odd=1", "loggers=csv")
    outcome = go(*more, f"{SPIKE}threshold=3")
    assert outcome.code == 0, outcome.err
    losses = [float(row["train/loss"]) for row in rows(outcome.run_dir)]
    assert losses[16] > 1.3 * losses[15], "the change is seen in the loss"
    assert [entry["step"] for entry in recorded(outcome.run_dir) if 17 <= entry["step"] <= 20] == []


def test_later_rewinds_take_the_place_of_those_they_went_behind() -> None:
    first, second, third = Rewind(200, 100, 400), Rewind(350, 250, 850), Rewind(150, 50, 700)
    assert [batch_of(step, ()) for step in (0, 9)] == [0, 9]
    assert [batch_of(step, (first, second)) for step in (99, 100, 249, 250)] == [99, 400, 549, 850]
    assert [batch_of(step, (first, second, third)) for step in (49, 50, 100, 250)] == [49, 700, 750, 900]


def test_norms_of_a_layer_are_those_of_its_matrices_together() -> None:
    assert by_layer({"layers.0.a.weight": 3.0, "layers.0.b.weight": 4.0, "norm.weight": 2.0}) == {
        "layers.0": 5.0,
        "norm": 2.0,
    }
