"""One rank of four is killed again and again; torchrun's rule (--max-restarts) brings the run to the same end"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.directory import checkpoint_path
from packtrain.checkpoint.load import read_weights
from tests.tiny import tiny_pack

STEPS, KILLS = 400, int(os.environ.get("PACKTRAIN_TEST_KILLS", "20"))


def command(folder: Path, name: str) -> list[str]:
    return [
        sys.executable, "-m", "packtrain", "train", f"name={name}", f"runs_dir={folder / 'runs'}", "data=packed",
        f"data.path={folder / 'pack'}", "data.sequence_length=32", "data.micro_batch=2", "data.batch_tokens=256",
        f"data.tokens={256 * STEPS}", "model.dim=32", "model.n_heads=2", "model.ffn_multiple_of=32",
        "optim.warmup_steps=5", "callbacks.checkpointing.interval_tokens=2560", "log_interval_tokens=256",
        "~callbacks.domain_loss", "~callbacks.carbon", "loggers=csv", "device=cpu", "cluster=torchrun",
        "cluster.gpus_per_node=4", f"hydra.launcher.max_restarts={KILLS + 2}",
    ]  # fmt: skip


def rows(run_dir: Path) -> list[tuple[str, ...]]:
    try:
        with (run_dir / "metrics.csv").open(newline="") as stream:
            return [(r["step"], r["train/loss"], r["train/grad_norm"]) for r in csv.DictReader(stream)]
    except (OSError, KeyError):
        return []


def processes(name: str) -> dict[int, int]:
    """rank → process id of the run, as their environments say."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        rank = next((int(entry[5:]) for entry in environment if entry.startswith(b"RANK=")), None)
        if rank is not None and f"name={name}".encode() in words:
            found[rank] = int(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_rank_of_four_killed_twenty_times_changes_nothing(tmp_path: Path) -> None:
    tiny_pack(tmp_path / "pack")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}  # a killed rank's words are kept
    whole = tmp_path / "runs" / "whole"
    done = subprocess.run(command(tmp_path, "whole"), env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]

    dice, kills, log = random.Random(4), 0, tmp_path / "killed.log"
    run_dir = tmp_path / "runs" / "killed"
    process = subprocess.Popen(
        command(tmp_path, "killed"), env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT
    )
    try:
        marks = sorted(dice.sample(range(3, STEPS - 20), KILLS))
        for mark in marks:
            deadline = time.monotonic() + 300
            while process.poll() is None and not any(int(step) >= mark for step, *_ in rows(run_dir)[-1:]):
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 0.1))
            alive = processes("killed")
            if process.poll() is None and alive:
                os.kill(alive[dice.choice(sorted(alive))], signal.SIGKILL)
                kills += 1
                while set(alive.values()) & set(processes("killed").values()) and time.monotonic() < deadline:
                    time.sleep(0.05)
        assert process.wait(timeout=900) == 0, log.read_text()[-3000:]
    finally:
        process.terminate()
    assert kills == KILLS
    assert log.read_text().count("continues after step") >= KILLS - 1
    assert rows(run_dir) == rows(whole) and len(rows(whole)) == STEPS
    ours, theirs = (read_weights(checkpoint_path(folder, STEPS)) for folder in (run_dir, whole))
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
