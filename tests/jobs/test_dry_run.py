"""A cluster counted on a laptop agrees with the plan; fake bytes are what a real process makes"""

from __future__ import annotations

import json
import re
import time

import pytest
import torch

from packtrain.cli import main
from packtrain.model.config import ModelConfig, parameter_count

SMALL = (
    "model.dim=64", "model.n_heads=4", "model.n_layers=3", "model.ffn_multiple_of=32", "data=packed", "data.path=none",
    "data.vocab_size=512", "data.sequence_length=64", "data.batch_tokens=4096", "data.micro_batch=2", "dry_run=true",
)  # fmt: skip


def table(said: str) -> dict[str, float]:
    """name → bytes."""
    units = {"MiB": 2**20, "GiB": 2**30}
    rows = re.findall(r"^([\w-]+) +([\d.,]+) (MiB|GiB) ", said, re.M)
    return {name: float(size.replace(",", "")) * units[unit] for name, size, unit in rows}


def test_the_shards_of_a_cluster_are_the_whole_over_its_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "cluster.gpus_per_node=8", "cluster.gpu=a100-80gb"]) == 0
    found = table(capsys.readouterr().out)
    config = ModelConfig(dim=64, n_layers=3, n_heads=4, ffn_multiple_of=32, vocab_size=512)
    whole = 4 * parameter_count(config)
    assert found["parameters"] == pytest.approx(whole / 8, rel=0.02)
    assert found["gradients"] == pytest.approx(whole / 8, rel=0.02)
    assert found["optimizer"] == pytest.approx(2 * whole / 8, rel=0.02)
    # fp32: forward and backward of four micro-batches gather it, the last backward reduces it
    assert found["all-gather"] == pytest.approx(8 * whole * 7 / 8, rel=0.02)
    assert found["reduce-scatter"] == pytest.approx(whole * 7 / 8, rel=0.02)
    assert not torch.distributed.is_initialized()


def test_recompute_and_tensor_parallelism_save_activations(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {}
    for how in ("recompute=manual", "recompute=full", "parallel.tensor=2"):
        assert main(["train", *SMALL, "cluster.gpus_per_node=4", how]) == 0
        kept[how] = table(capsys.readouterr().out)["activations"]
    assert kept["recompute=full"] < kept["recompute=manual"] / 2
    assert kept["parallel.tensor=2"] < kept["recompute=manual"]


def test_an_impossible_mesh_is_refused_as_by_the_real_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "cluster.gpus_per_node=8", "parallel.tensor=3"]) == 2
    assert "possible replicate × shard × tensor: 1×8×1" in capsys.readouterr().err


@pytest.mark.slow
def test_65b_on_2048_ranks_takes_three_minutes_and_two_gib_and_agrees_with_the_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin = time.process_time()
    assert main(["train", "model=65b", "data=llama", "cluster=llama_paper", "precision=bf16", "dry_run=true"]) == 0
    seconds, said = time.process_time() - begin, capsys.readouterr().out
    assert seconds < 180 and float(re.findall(r"([\d.]+) GiB of this machine's memory", said)[0]) < 2
    found = table(said)
    assert main(["plan", "model=65b", "data=llama", "cluster=llama_paper", "format=json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    for ours, theirs in (("parameters", "weights"), ("gradients", "gradients"), ("optimizer", "optimizer")):
        assert found[ours] == pytest.approx(plan[f"{theirs}_gib"] * 2**30 / 2048, rel=0.02), ours
