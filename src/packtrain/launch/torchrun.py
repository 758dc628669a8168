"""a member → the torchrun line that starts its processes → run here (`agent.py`), its signals passed on"""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packtrain.errors import UserError
from packtrain.launch.member import Member


@dataclass(frozen=True)
class TorchrunSettings:
    """What `conf/hydra/launcher/torchrun.yaml` says."""

    dry_run: bool = False
    nodes: int = 1
    tasks_per_node: int = 1
    max_restarts: int = 3
    endpoint: str | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("tasks_per_node", 1), ("max_restarts", 0)):
            if getattr(self, name) < least:
                raise UserError(f"hydra.launcher.{name}={getattr(self, name)}: expected at least {least}")
        if self.nodes > 1 and not self.endpoint:
            raise UserError(
                f"cluster.nodes={self.nodes} with torchrun: all nodes must know the first one; give "
                "hydra.launcher.endpoint=HOST:PORT and run the same command on every node, or use cluster=slurm"
            )


def arguments(member: Member, settings: TorchrunSettings) -> list[str]:
    """Everything after the word torchrun."""
    if settings.endpoint:
        meeting = [f"--nnodes={settings.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={settings.endpoint}"]
        meeting += [f"--rdzv-id={member.name}"]
    else:
        meeting = ["--standalone"]
    rules = [f"--nproc-per-node={settings.tasks_per_node}", f"--max-restarts={settings.max_restarts}"]
    return [*meeting, *rules, *settings.options, "-m", "packtrain", *member.arguments]


def line(member: Member, settings: TorchrunSettings) -> str:
    """As it can be typed."""
    return shlex.join(["torchrun", *arguments(member, settings)])


def start(member: Member, settings: TorchrunSettings) -> int:
    """Run it to its end; returns the exit code, 130 where it was interrupted."""
    process = subprocess.Popen([sys.executable, "-m", "packtrain.launch.agent", *arguments(member, settings)])
    with _passing_on(process):
        code = process.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM goes on to torchrun, which tells its processes; Ctrl-C reaches it from the terminal by itself."""

    def forward(number: int, frame: Any) -> None:
        process.send_signal(number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, forward)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
