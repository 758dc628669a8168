"""Meshes: derived, or refused with the possible ones"""

from __future__ import annotations

import pytest

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.parallel.config import Degrees, ParallelConfig, check_tensor, degrees
from packtrain.parallel.processes import find_world


def test_the_shard_degree_is_what_is_left() -> None:
    assert degrees(ParallelConfig(), 8) == Degrees(1, 8, 1)
    assert degrees(ParallelConfig(tensor=2), 8) == Degrees(1, 4, 2)
    assert degrees(ParallelConfig(tensor=2, replicate=2), 8) == Degrees(2, 2, 2)
    assert degrees(ParallelConfig(tensor=8, replicate=256), 2048).shard == 1
    assert degrees(ParallelConfig(tensor=2, replicate=2), 8).data == 4


def test_impossible_products_are_refused_with_the_possible() -> None:
    with pytest.raises(UserError, match=r"does not divide 4 processes; possible .*: 1×4×1, 2×2×1, 4×1×1, 1×2×2, 2×1×2"):
        degrees(ParallelConfig(tensor=3), 4)
    with pytest.raises(UserError, match=r"replicate=2 × parallel.tensor=1 does not divide 1 process; .*: 1×1×1$"):
        degrees(ParallelConfig(replicate=2), 1)
    with pytest.raises(UserError, match=r"parallel.tensor=0: expected at least 1"):
        ParallelConfig(tensor=0)


def test_a_tensor_degree_that_does_not_cut_the_model_is_refused_with_those_that_do() -> None:
    model = ModelConfig(dim=48, n_layers=1, n_heads=6, vocab_size=36, ffn_multiple_of=12)
    check_tensor(model, 3, 30)
    with pytest.raises(UserError, match=r"tensor=4 does not divide n_heads \(6\), .*sequence_length \(30\); .*1, 2, 3"):
        check_tensor(model, 4, 30)


def test_processes_of_srun_that_cannot_find_each_other_are_told_what_is_missing(monkeypatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"srun has started 4 processes .* export MASTER_ADDR and MASTER_PORT"):
        find_world()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert find_world().size == 1


def test_of_very_many_products_the_nearest_to_what_was_asked_are_named() -> None:
    with pytest.raises(UserError, match=r"possible replicate × shard × tensor: 1×256×8, 1×512×4, .* \(78 in all\)"):
        degrees(ParallelConfig(tensor=7), 2048)
