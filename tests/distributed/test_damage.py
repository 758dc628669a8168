"""A sharded checkpoint half deleted, one with a flipped bit, a full disk: said in one line, the one before used"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.directory import checkpoint_path
from packtrain.checkpoint.load import read_weights
from tests.tiny import tiny_pack

STEPS, EVERY = 20, 5


def train(folder: Path, name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    """The run `name` on two processes, started by torchrun."""
    command = (
        "train", f"name={name}", f"runs_dir={folder / 'runs'}", "data=packed", f"data.path={folder / 'pack'}",
        "data.sequence_length=32", "data.micro_batch=4", "data.batch_tokens=256", f"data.tokens={256 * STEPS}",
        "model.dim=32", "model.n_heads=2", "model.ffn_multiple_of=32", "optim.warmup_steps=2", "device=cpu",
        f"callbacks.checkpointing.interval_tokens={256 * EVERY}", "callbacks.checkpointing.keep_last=3",
        "~callbacks.domain_loss", "~callbacks.carbon", "loggers=csv", "cluster=torchrun",
        "hydra.launcher.max_restarts=0", *overrides,
    )  # fmt: skip
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "packtrain", *command], env=environment, capture_output=True, text=True, timeout=400
    )


def flip_a_bit(checkpoint: Path) -> None:
    shard = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def delete_half(checkpoint: Path) -> None:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != "checkpoint.json")
    for path in files[::2]:
        path.unlink()


def delete_the_marker(checkpoint: Path) -> None:
    (checkpoint / "checkpoint.json").unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    tiny_pack(folder / "pack")
    done = train(folder, "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("harm", [flip_a_bit, delete_half, delete_the_marker], ids=lambda harm: harm.__name__)
def test_a_damaged_sharded_checkpoint_is_named_and_the_one_before_it_continued(
    whole: Path, harm: Callable[[Path], None]
) -> None:
    name = harm.__name__
    run_dir = whole / "runs" / name
    shutil.copytree(whole / "runs" / "whole", run_dir)
    (run_dir / "summary.json").unlink()
    harm(checkpoint_path(run_dir, STEPS))
    done = train(whole, name)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if "is damaged (" in line]
    assert len(lines) == 1 and f"step-{STEPS:08d} is damaged (" in lines[0], done.stdout
    assert f"continues after step {STEPS - EVERY}" in done.stdout
    ours, theirs = (read_weights(checkpoint_path(whole / "runs" / n, STEPS)) for n in (name, "whole"))
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_disk_that_fills_while_two_processes_save_is_one_line_and_the_run_goes_on_later(whole: Path) -> None:
    """A file system of 700 kB: room for the run and one checkpoint."""
    disk = whole / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        done = train(whole, "full", f"run_dir={disk}")
        assert done.returncode != 0
        said = [line for line in done.stderr.splitlines() if "packtrain: " in line and "No space left" in line]
        assert len(said) == 1, done.stderr[-3000:]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = train(whole, "full", f"run_dir={disk}")
        assert again.returncode == 0, again.stderr[-3000:]
        ours, theirs = (read_weights(checkpoint_path(folder, STEPS)) for folder in (disk, whole / "runs" / "whole"))
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_disk_that_fills_while_two_processes_log_is_one_line_and_the_run_goes_on_later(whole: Path) -> None:
    """The kernel's own "no space left", met by a row in the middle of the run."""
    fills = ("+callbacks.full._target_=tests.distributed.stop.FullLog", "+callbacks.full.run_dir=${run_dir}",
             "+callbacks.full.step=12")  # fmt: skip
    run_dir = whole / "runs" / "log"
    done = train(whole, "log", *fills)
    said = [line for line in done.stderr.splitlines() if "packtrain: " in line and "No space left" in line]
    assert done.returncode != 0 and len(said) == 1, done.stderr[-3000:]
    (run_dir / "metrics.csv").unlink()
    (run_dir / "kept.csv").rename(run_dir / "metrics.csv")
    again = train(whole, "log")
    assert again.returncode == 0 and "continues after step 10" in again.stdout, again.stderr[-3000:]
    ours, theirs = (read_weights(checkpoint_path(whole / "runs" / n, STEPS)) for n in ("log", "whole"))
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
