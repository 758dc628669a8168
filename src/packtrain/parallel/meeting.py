"""MASTER_ADDR:MASTER_PORT → the store through which the processes of a run find each other, or who waits for whom"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

from packtrain.errors import Failure

NAME_SECONDS = 60.0  # how long a host's name may not resolve: on a node that has just started, DNS comes late


def meet(rank: int, size: int, seconds: float) -> Any:
    """A store that all `size` processes have joined. Raises `Failure` where one has not after `seconds`.

    torchrun's agent keeps one already. After a restart it still holds the addresses of the processes that died, which
    torch would try to reach: so it is used under the number of the attempt.
    """
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise Failure(f"MASTER_ADDR and MASTER_PORT must say where the processes meet: {error}") from error
    resolves(host, min(seconds, NAME_SECONDS))
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = TCPStore(host, port, size, is_master=rank == 0 and not agents, timeout=timedelta(seconds=seconds))
    except (dist.DistError, ValueError, RuntimeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Failure(
            f"rank {rank} on {socket.gethostname()}: the {size} processes did not find each other at {host}:{port} in "
            f"parallel.join_seconds={seconds:g}: {line}"
        ) from error
    return PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store) if agents else store


def resolves(host: str, seconds: float) -> None:
    """Waits until the name of the first node has an address. Raises `Failure` after `seconds`, which names it."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            if time.monotonic() >= until:
                raise Failure(
                    f"MASTER_ADDR={host} has no address on {socket.gethostname()} ({error.strerror}): export a name or "
                    "an address that every node knows"
                ) from error
        time.sleep(1.0)
