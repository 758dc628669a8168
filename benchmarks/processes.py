"""a function → run by so many processes of this machine, one rank each, joined by gloo or NCCL → what rank 0 returns"""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as multiprocessing

from packtrain.parallel.processes import start, stop


def on_ranks(world: int, work: Callable[..., Any], *arguments: Any, device: str = "cpu") -> Any:
    """`work(*arguments)` on every rank, with one thread each; rank 0's result (plain values or tensors).

    `work` must be a function of a module: the processes are spawned and import it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.pt"
        multiprocessing.spawn(_rank, (world, port, device, str(answer), work, arguments), nprocs=world)  # pyright: ignore
        return torch.load(answer, weights_only=True)


def _rank(rank: int, world: int, port: int, device: str, answer: str, work: Any, arguments: Any) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*returned a view tensor.*")  # no layer's output is changed in place
    start(device, alone=True)
    found = work(*arguments)
    if rank == 0:
        torch.save(found, answer)
    stop()
