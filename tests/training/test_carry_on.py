"""A new run from another's weights; a checkpoint of the format before is read, one of a later format refused"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from packtrain.checkpoint.carry_on import find_source
from packtrain.checkpoint.directory import commit, read_meta
from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.training.identity import differences
from tests.training.test_run import rows, stopped


def test_init_from_begins_with_the_other_runs_weights(train) -> None:
    first = train(name="first")
    second = train(f"init_from={first.run_dir}", "optim.learning_rate=1e-9", "seed=2", name="second")
    assert second.code == 0, second.err
    assert rows(second.run_dir)[0]["step"] == "1"
    ours, theirs = (load_file(o.run_dir / "checkpoints/step-00000020/model.safetensors") for o in (second, first))
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, atol=1e-6), name


def test_init_from_another_shape_is_refused(train) -> None:
    first = train(name="first")
    other = train(f"init_from={first.run_dir}", "model.dim=64", name="second")
    assert other.code == 2 and "its model.dim is 32, this run's is 64" in other.err


def test_learned_positions_of_another_length_are_refused(tmp_path: Path) -> None:
    learned = {"dim": 32, "n_layers": 1, "n_heads": 2, "vocab_size": 64, "positions": "learned"}
    ours, theirs = (ModelConfig(**learned, max_sequence_length=length) for length in (64, 128))
    path = tmp_path / "checkpoints/step-00000001"
    commit(path, lambda folder: None, {"step": 1, "model": dataclasses.asdict(theirs)})
    assert find_source(tmp_path, theirs, "") == path
    with pytest.raises(UserError, match=r"its model.max_sequence_length is 128, this run's is 64: give model"):
        find_source(tmp_path, ours, "")


def test_a_run_that_began_with_others_weights_goes_on_under_the_same_init_from_only() -> None:
    assert differences({"init_from": "runs/a"}, {"init_from": None}) == ["init_from was runs/a, is absent"]
    assert differences({}, {"init_from": "runs/a"}) == ["init_from was absent, is runs/a"]
    assert differences({}, {"init_from": None}) == []


def test_a_checkpoint_of_format_1_is_gone_on_from_bitwise(train) -> None:
    whole = train(name="whole")
    run_dir = stopped(train, 12).run_dir
    for marker in run_dir.glob("checkpoints/*/checkpoint.json"):
        meta = read_meta(marker.parent)
        del meta["kind"]
        marker.write_text(json.dumps({**meta, "format_version": 1}))
    again = train()
    assert again.code == 0 and "continues after step 13" in again.out, again.err
    ours, theirs = (load_file(o.run_dir / "checkpoints/step-00000020/model.safetensors") for o in (again, whole))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
