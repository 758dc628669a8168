"""What training drew of each domain is counted from its batches, and is the same however often it was stopped"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from packtrain.data.manifest import load_manifest
from packtrain.data.mixture import Mixture
from packtrain.training.drawn import Drawn


def ledger(run_dir: Path) -> dict:
    return json.loads((run_dir / "ledger.json").read_text())["domains"]


def test_a_run_s_ledger_holds_what_was_drawn_and_says_it(train, pack: Path) -> None:
    outcome = train("+data.weights.a=3", "+data.weights.b=1", "loggers=tensorboard")
    assert outcome.code == 0, outcome.err
    found, packed = ledger(outcome.run_dir), load_manifest(pack).domains
    blocks = {name: (domain.train.tokens - 1) // 32 for name, domain in packed.items()}
    counts = Mixture({"a": 3, "b": 1}, blocks, 1).counts(5120 // 32)
    for name, count in counts.items():
        assert found[name]["realised_tokens"] == count * 32
        assert found[name]["realised_epochs"] == pytest.approx(count * 32 / packed[name].train.tokens)
    assert sum(v["target_tokens"] for v in found.values()) == 5120
    assert any(line.split()[:2] == ["a", "75.0%"] for line in outcome.out.splitlines())
    assert "data/epochs/a" in (outcome.run_dir / "metrics.csv").read_text().splitlines()[0]
    events = EventAccumulator(str(outcome.run_dir)).Reload()
    text = events.Tensors("ledger/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "| a | 75.0% |" in text
    assert json.loads((outcome.run_dir / "summary.json").read_text())["mixture"]["a"] == found["a"]


def test_a_run_that_was_stopped_counts_each_batch_once(train, pack: Path, monkeypatch) -> None:
    from packtrain.callbacks.checkpointing import Checkpointing

    save = Checkpointing.save

    def stop_after(self, trainer, module, step, every):
        save(self, trainer, module, step, every)
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Checkpointing, "save", stop_after)
    weights = ("+data.weights.a=3", "+data.weights.b=1")
    stopped = train(*weights)
    assert stopped.code == 130
    assert 10 * 256 <= sum(v["realised_tokens"] for v in ledger(stopped.run_dir).values()) < 5120
    monkeypatch.setattr(Checkpointing, "save", save)
    assert train(*weights, "data.workers=2").code == 0
    blocks = {name: (domain.train.tokens - 1) // 32 for name, domain in load_manifest(pack).domains.items()}
    counts = Mixture({"a": 3, "b": 1}, blocks, 1).counts(5120 // 32)
    assert {n: v["realised_tokens"] for n, v in ledger(stopped.run_dir).items()} == {
        n: c * 32 for n, c in counts.items()
    }


def test_what_was_handed_out_and_not_trained_on_does_not_count() -> None:
    drawn = Drawn(("a", "b"), sequences=4)
    for step in range(5):
        drawn.add(step, np.array([3, 1]))
    assert drawn.at(3) == {"a": 9, "b": 3}
    assert drawn.at(5) == {"a": 15, "b": 5}


def test_ranks_are_summed_and_those_that_share_their_data_are_counted_once() -> None:
    drawn = Drawn(("a", "b"), sequences=8)
    drawn.add(0, np.array([3, 1]))  # half of a step: two ranks
    assert drawn.at(1, lambda counts: 2 * counts) == {"a": 6, "b": 2}
    drawn.add(1, np.array([3, 1]))
    assert drawn.at(2, lambda counts: 4 * counts) == {"a": 12, "b": 4}  # each of the two in two tensor-parallel halves


def test_a_missing_domain_is_one_line_with_the_remedy(train) -> None:
    outcome = train("+data.weights.a=1", "+data.weights.wikipedia=1")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "no domain 'wikipedia'" in outcome.err and "data.weights.wikipedia=0" in outcome.err
    assert train("+data.weights.a=1", "+data.weights.wikipedia=0").code == 0
