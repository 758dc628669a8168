"""The central promise: a run killed at any moment and started again ends as if nothing had happened"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from packtrain.training.events import read_events
from tests.tiny import tiny_pack

STEPS, KILLS = 160, 5
CURVE = ("step", "tokens", "train/loss", "train/grad_norm", "train/lr", "val/loss", "val/loss/a", "val/perplexity/b")


def command(folder: Path, name: str, workers: int) -> list[str]:
    return [
        sys.executable, "-m", "packtrain", "train", f"name={name}", f"runs_dir={folder / 'runs'}",
        "data=packed", f"data.path={folder / 'pack'}", "+data.weights.a=0.6", "+data.weights.b=0.4",
        "data.sequence_length=32", "data.micro_batch=4", "data.batch_tokens=256", f"data.tokens={256 * STEPS}",
        f"data.workers={workers}", "model.dim=32", "model.n_heads=2", "model.ffn_multiple_of=32",
        "optim.warmup_steps=5", "callbacks.checkpointing.interval_tokens=1792", "log_interval_tokens=512",
        "callbacks.domain_loss.interval_tokens=3840",
    ]  # fmt: skip


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, stdout=log.open("ab"), stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )


def last_step(run_dir: Path) -> int:
    try:
        lines = (run_dir / "metrics.csv").read_text().splitlines()
        return int(lines[-1].split(",")[0])
    except (OSError, ValueError, IndexError):
        return 0


def kill_at(process: subprocess.Popen[bytes], run_dir: Path, step: int, delay: float) -> bool:
    """SIGKILL the whole process group once `step` is logged, `delay` seconds later; False where it ended before."""
    deadline = time.monotonic() + 120
    while last_step(run_dir) < step:
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def curve(run_dir: Path) -> list[tuple[str, ...]]:
    with (run_dir / "metrics.csv").open(newline="") as stream:
        return [tuple(row[column] for column in CURVE) for row in csv.DictReader(stream)]


def scalars(run_dir: Path) -> list[tuple[str, int, float]]:
    """Every scalar in every event file, as raw records: a step shown twice stands here twice."""
    found = []
    for file in sorted(run_dir.glob("events.out.tfevents.*")):
        for event in read_events(file):
            for value in event.summary.value:
                if value.tag.startswith(("train/", "val/")):
                    found.append((value.tag, event.step, value.simple_value or sum(value.tensor.float_val)))
    return sorted(found)


def newest(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / f"step-{STEPS:08d}"


def whole(folder: Path) -> None:
    """The uninterrupted run."""
    log = folder / "whole.log"
    assert start(command(folder, "whole", 0), log).wait(timeout=300) == 0, log.read_text()


def killed(folder: Path, workers: int) -> None:
    """The same run killed five times at random moments, then left to end."""
    name = f"killed-{workers}"
    run_dir, log = folder / "runs" / name, folder / f"{name}.log"
    dice = random.Random(20260101 + workers)
    kills = 0
    early = dice.randint(2, 6)  # before the first checkpoint: starts over
    for step in [early, *sorted(dice.sample(range(10, STEPS - 30), KILLS - 1))]:
        step = max(step, last_step(run_dir) + 1)  # each process trains at least one step of its own before it is killed
        process = start(command(folder, name, workers), log)
        kills += kill_at(process, run_dir, step, dice.uniform(0, 0.05))
    assert kills == KILLS, f"only {kills} kills hit a running process:\n{log.read_text()}"
    assert start(command(folder, name, workers), log).wait(timeout=300) == 0, log.read_text()
    assert log.read_text().count("continues after step") >= KILLS - 1  # they resumed, they did not start over


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three runs, two at a time: each is one thread of its own processes, which mostly import."""
    folder = tmp_path_factory.mktemp("kill")
    tiny_pack(folder / "pack")
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(killed, folder, 2), pool.submit(killed, folder, 0), pool.submit(whole, folder)]:
            future.result()
    return folder / "runs"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_five_times_ends_bitwise_as_an_uninterrupted_one(runs: Path, workers: int) -> None:
    run_dir, whole = runs / f"killed-{workers}", runs / "whole"
    assert curve(run_dir) == curve(whole)
    assert [row[0] for row in curve(run_dir)] == sorted({row[0] for row in curve(run_dir)}, key=int)
    assert scalars(run_dir) == scalars(whole)
    ours, theirs = load_file(newest(run_dir) / "model.safetensors"), load_file(newest(whole) / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    state, expected = (
        torch.load(newest(p) / "state.pt", weights_only=True)["optimizer_states"] for p in (run_dir, whole)
    )
    moments = expected[0]["state"]
    assert len(moments) == len(ours)
    for number, entry in moments.items():
        for key, value in entry.items():
            assert torch.equal(state[0]["state"][number][key], value), (number, key)
