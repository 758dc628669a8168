"""FSDP2 on one device (1 × 1 × 1), with its asynchronous checkpoints: bitwise resume, a save that hardly holds it up

pytest -m gpu tests/gpu/test_sharded.py        on CUDA; the resume on the CPU is one of the slow tests
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import checkpoint
from packtrain.checkpoint.load import read_weights
from tests.tiny import tiny_pack
from tests.training.test_run import rows

ROOT = Path(__file__).parents[2]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
STOP = ("+callbacks.stop._target_=tests.distributed.stop.Stop", "+callbacks.stop.step=7")


def train(folder: Path, name: str, *overrides: str) -> str:
    """20 steps of a run of one process that shards all the same; what it printed."""
    command = (
        "train", f"name={name}", f"runs_dir={folder / 'runs'}", "data=packed", f"data.path={folder / 'pack'}",
        "data.sequence_length=32", "data.micro_batch=4", "data.batch_tokens=256", "data.tokens=5120",
        "model.dim=64", "model.n_heads=2", "model.ffn_multiple_of=32", "optim.warmup_steps=2", "precision=bf16",
        "parallel.sharded=true", "callbacks.checkpointing.interval_tokens=1280", "~callbacks.carbon", "loggers=csv",
        *overrides,
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "packtrain", *command], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == (1 if STOP[0] in overrides else 0), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=[pytest.mark.gpu, CUDA])]
)
def test_one_sharded_process_stopped_and_resumed_ends_bitwise_as_a_whole_run(tmp_path: Path, device: str) -> None:
    tiny_pack(tmp_path / "pack")
    assert "mesh 1 × 1 × 1" in train(tmp_path, "whole", f"device={device}")
    train(tmp_path, "stopped", f"device={device}", *STOP)
    assert "continues after step 7" in train(tmp_path, "stopped", f"device={device}")
    runs = [tmp_path / "runs" / name for name in ("stopped", "whole")]
    last = "checkpoints/step-00000020"
    assert '"kind": "sharded"' in (runs[0] / last / "checkpoint.json").read_text()
    ours, theirs = (read_weights(run / last) for run in runs)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses = [[row["train/loss"] for row in rows(run)] for run in runs]
    assert losses[0] == losses[1] and len(losses[0]) == 20


@CUDA
@pytest.mark.gpu
def test_an_asynchronous_save_of_the_1b_size_holds_training_up_for_less_than_a_step() -> None:
    """A step of the size's own recipe: so many micro-batches of 4 × 2048 tokens."""
    recipe = yaml.safe_load((ROOT / "conf/model/1b.yaml").read_text())["recipe"]
    found = checkpoint.measure("1b", checkpoint.ON_CUDA["1b"], rounds=2, world=1, sequences=4)
    kinds = {row["save"]: row for row in found}
    assert kinds["async"]["stall_in_steps"] < recipe["batch_tokens"] / (4 * 2048), kinds
    assert kinds["async"]["stall_seconds"] < kinds["sync"]["stall_seconds"] / 2, kinds
