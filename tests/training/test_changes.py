"""A mixture and a schedule that change at a number of tokens: kept in the ledger, exact wherever a run is stopped"""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.training.changes import Change, plan_changes
from packtrain.training.data import StepDataset
from packtrain.training.rewind import Rewind, in_force
from packtrain.training.schedule import OptimConfig, learning_rate
from packtrain.training.setup import prepare
from packtrain.training.steps import plan_steps
from tests.training.test_run import rows

LAST = "checkpoints/step-00000020/model.safetensors"
ANNEAL = (  # after step 10 of 20
    "+data.weights.a=1", "+changes.anneal.at_tokens=2500", "+changes.anneal.weights.a=1",
    "+changes.anneal.weights.b=3", "+changes.anneal.schedule=wsd", "+changes.anneal.decay_fraction=1",
    "+changes.anneal.final_fraction=0", "~callbacks.carbon", "loggers=csv",
)  # fmt: skip


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *arguments) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_anneals_is_the_same_stopped_before_on_and_after_the_boundary(train, pack: Path) -> None:
    whole = train(*ANNEAL, name="whole")
    assert whole.code == 0, whole.err
    assert "anneal, after step 10 (2,560 tokens): a 1, b 3; wsd from " in whole.out
    stop = ("+callbacks.stop._target_=tests.training.test_changes.StopAt", "+callbacks.stop.step=")
    for at in (7, 10, 13):
        assert train(*ANNEAL, stop[0], f"{stop[1]}{at}").code == 130
    again = train(*ANNEAL)
    assert again.code == 0 and "continues after step 13" in again.out
    ours, theirs = (load_file(outcome.run_dir / LAST) for outcome in (again, whole))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    curves = [[(r["train/loss"], r["train/lr"]) for r in rows(outcome.run_dir)] for outcome in (again, whole)]
    assert curves[0] == curves[1]
    assert (again.run_dir / "ledger.json").read_text() == (whole.run_dir / "ledger.json").read_text()

    ledger = json.loads((whole.run_dir / "ledger.json").read_text())
    (kept,) = ledger["changes"]
    assert (kept["name"], kept["after_step"], kept["after_tokens"]) == ("anneal", 10, 2560)
    assert kept["weights"] == {"a": 1.0, "b": 3.0} and kept["schedule"] == "wsd"
    assert ledger["domains"]["b"]["target_tokens"] == 5120 * 3 // 8  # none in the first half, 3/4 in the second
    assert ledger["domains"]["b"]["realised_tokens"] == pytest.approx(5120 * 3 / 8, rel=0.03)
    rates = [float(row["train/lr"]) for row in rows(whole.run_dir)]
    plain = OptimConfig(learning_rate=max(rates), warmup_steps=2)
    assert rates[9] == pytest.approx(learning_rate(plain, 9, 20)) and rates[-1] == 0
    falls = [before - after for before, after in itertools.pairwise(rates[10:])]
    assert falls == pytest.approx([falls[0]] * 9), "linear to nothing"
    assert rates[10] == pytest.approx(learning_rate(plain, 10, 20)), "from where it was"


def test_a_change_that_still_lies_ahead_may_be_made_one_that_was_passed_may_not(train) -> None:
    stop = ("+callbacks.stop._target_=tests.training.test_changes.StopAt", "+callbacks.stop.step=")
    quick = ("~callbacks.carbon", "~callbacks.domain_loss", "loggers=csv")
    assert train(*quick, stop[0], f"{stop[1]}5").code == 130
    later = ("+changes.late.at_tokens=2560", "+changes.late.learning_rate=1e-4")
    assert train(*quick, *later, stop[0], f"{stop[1]}12").code == 130
    for other in ((), ("+changes.late.at_tokens=2560", "+changes.late.learning_rate=2e-4")):
        refused = train(*quick, *other)
        assert refused.code == 2 and "changes.late.learning_rate was 0.0001, is " in refused.err
    assert train(*quick, *later).code == 0


def test_after_a_rewind_a_change_of_the_mixture_stays_at_its_number_of_tokens(pack: Path) -> None:
    data = DataConfig(str(pack), {"a": 1.0}, 32, 64, 5120, 256)
    model = ModelConfig(32, 1, 2)
    changes = {"only_b": Change(2560, weights={"b": 1.0}), "both": Change(3840, weights={"a": 1.0, "b": 1.0})}
    setup = prepare(model, data, OptimConfig(1e-3, 2), 1, changes=changes)
    assert [b.step for b in setup.boundaries] == [10, 15]
    plain = setup.datamodule()

    def drawn(rewinds: list[Rewind]) -> list[list[int]]:
        part = setup.datamodule(0, rewinds)
        steps = StepDataset(pack, part.mixture, part.steps, 0, rewinds)
        return [steps[step][1].tolist() for step in range(len(steps))]

    first = [Rewind(8, 5, 12)]
    for rewinds in ([], first, [*first, Rewind(12, 10, 40)], [*first, Rewind(14, 9, 40)], [Rewind(18, 16, 25)]):
        domains = drawn(rewinds)
        assert domains[:10] == [[8, 0]] * 10 and domains[10:15] == [[0, 8]] * 5, rewinds
        assert all(a > 0 < b for a, b in domains[15:]), rewinds
    assert plain.mixture is setup.mixture
    assert in_force(6, 6, first) == [] and in_force(6, 13, first) == first == in_force(6, 99, first)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["x.at_tokens=0", "x.learning_rate=1"],
            "changes.x.at_tokens=0 is not inside the run of 5120 tokens; give 256",
        ),
        (["x.at_tokens=5000", "x.learning_rate=1"], "give 256 to 4864"),
        (["x.at_tokens=2560"], "changes.x changes nothing: give it weights or learning_rate, schedule"),
        (["x.at_tokens=2560", "x.learning_rate=-1"], "changes.x.learning_rate=-1: give a positive number"),
        (
            ["x.at_tokens=2560", "x.warmup_steps=10"],
            "changes.x.warmup_steps=10 is not shorter than the run of 10 steps",
        ),
        (["x.at_tokens=2560", "x.decay_fraction=2"], "changes.x.decay_fraction=2: give a fraction from 0 to 1"),
        (["x.at_tokens=2560", "x.schedule=linear"], "changes.x.schedule=linear"),
        (["x.at_tokens=2560", "x.weights.a=-1"], "changes.x.weights.a=-1.0: expected 0 or more"),
        (["x.at_tokens=2560", "x.weights.a=0"], "changes.x.weights: give at least one domain a positive weight"),
        (["x.at_tokens=2560", "x.weights.c=1"], "the shards have no domain 'c'"),
        (["x.weights.a=1"], "missing: changes.x.at_tokens"),
        (["x.at_tokens=2560", "x.rate=1"], "unknown key 'changes.x.rate'"),
        (
            ["x.at_tokens=2560", "x.weights.a=1", "y.at_tokens=2400", "y.weights.b=1"],
            "changes.y and changes.x begin at the same step, 10",
        ),
    ],
)
def test_a_bad_change_is_refused_in_one_line(train, overrides: list[str], said: str) -> None:
    outcome = train(*(f"+changes.{override}" for override in overrides))
    assert outcome.code == 2 and outcome.err.count("\n") == 1, outcome.err
    assert said in outcome.err and not outcome.run_dir.exists()


def test_a_schedule_begins_anew_at_each_change_and_a_mixture_alone_leaves_it_be() -> None:
    data = DataConfig("x", {}, 32, 64, 32 * 8 * 100, 32 * 8)
    optim, steps = OptimConfig(1e-3, 10, schedule="constant"), plan_steps(data)
    changes = {
        "late": Change(256 * 80, schedule="llama", final_fraction=0.5),
        "mix": Change(256 * 20, weights={"a": 1.0}),
        "again": Change(256 * 40, learning_rate=1e-2, warmup_steps=5),
    }
    boundaries, schedule = plan_changes(changes, optim, steps)
    assert [(b.name, b.step, b.optim is None) for b in boundaries] == [
        ("mix", 20, True), ("again", 40, False), ("late", 80, False),
    ]  # fmt: skip
    assert [schedule.rate(step) for step in (19, 20, 39)] == [1e-3] * 3
    assert [schedule.rate(step) for step in (40, 44, 45, 79)] == pytest.approx([2e-3, 1e-2, 1e-2, 1e-2])
    assert schedule.rate(80) == pytest.approx(1e-2) and schedule.rate(99) == pytest.approx(5e-3)
    with pytest.raises(UserError, match=r"changes\.x: the learning rate is 0 there; give changes\.x\.learning_rate"):
        zero = {"w": Change(256 * 10, schedule="wsd", decay_fraction=1, final_fraction=0)}
        nothing = {
            "a": Change(256 * 98, schedule="wsd", final_fraction=0, decay_fraction=1),
            "x": Change(256 * 99, schedule="constant"),
        }
        plan_changes(zero | nothing, optim, steps)
