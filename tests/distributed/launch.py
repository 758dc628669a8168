"""Real processes, as torchrun makes them"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Ended:
    code: int
    output: str


def torchrun(processes: int, *arguments: str | Path, timeout: float = 240) -> Ended:
    """`torchrun --nproc-per-node N arguments`; a program is a path or `-m module`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
        "--master-addr", "127.0.0.1", "--master-port", str(port), *map(str, arguments),
    ]  # fmt: skip
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True, timeout=timeout
    )
    return Ended(done.returncode, done.stdout)


def train(processes: int, folder: Path, *overrides: str, name: str, timeout: float = 240) -> Ended:
    """`packtrain train` on so many processes (0: without torchrun): 20 steps of 256 tokens over folder/pack."""
    settings = {
        "name": name, "runs_dir": str(folder / "runs"), "data": "packed", "data.path": str(folder / "pack"),
        "data.sequence_length": "32", "data.micro_batch": "2", "data.batch_tokens": "256", "data.tokens": "5120",
        "data.vocab_size": "64", "model.dim": "32", "model.n_heads": "2", "model.ffn_multiple_of": "32",
        "optim.warmup_steps": "2", "callbacks.checkpointing.interval_tokens": "1280",
    }  # fmt: skip
    settings |= dict(override.split("=", 1) for override in overrides)
    arguments = ["-m", "packtrain", "train", *(f"{key}={value}" for key, value in settings.items())]
    if processes:
        return torchrun(processes, *arguments, timeout=timeout)
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return Ended(done.returncode, done.stdout)
