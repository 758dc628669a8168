"""hydra.launcher.* of cluster=slurm → SlurmSettings, checked on the login node"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packtrain import settings
from packtrain.errors import UserError

WHERE = "hydra.launcher"
LATENESS = 60  # SLURM sends the signal up to so many seconds early


@dataclass(frozen=True)
class SlurmSettings:
    """What `conf/hydra/launcher/slurm.yaml` says; None leaves a thing to the cluster."""

    dry_run: bool = False
    look: bool = True
    job_name: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    mem: str | None = None
    constraint: str | None = None
    at_once: int | None = None
    signal: str = "USR1"
    signal_seconds: int = 180
    max_restarts: int = 3
    sbatch: tuple[str, ...] = ()
    srun: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "at_once", "signal_seconds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{WHERE}.{name}={value}: expected at least 1")
        if self.max_restarts < 0:
            raise UserError(f"{WHERE}.max_restarts={self.max_restarts}: expected 0 or more")
        if not hasattr(signal, f"SIG{self.signal}") or self.signal in ("KILL", "STOP", "TERM", "INT"):
            raise UserError(f"{WHERE}.signal={self.signal}: expected a signal that is free, e.g. USR1 or USR2")
        for line in self.sbatch:
            if not line.startswith("-") or "\n" in line:
                raise UserError(f"{WHERE}.sbatch={line}: expected an option, e.g. [--exclusive]")
        seconds = None if self.time is None else limit_seconds(self.time)
        if seconds is not None and seconds < self.signal_seconds + 2 * LATENESS:
            raise UserError(
                f"{WHERE}.time={self.time} leaves no time to train: the signal to save comes "
                f"{self.signal_seconds} to {self.signal_seconds + LATENESS} s before the limit; give more time or a "
                f"smaller {WHERE}.signal_seconds"
            )

    @property
    def ranks(self) -> int:
        return self.nodes * self.tasks_per_node


def array_settings(options: Sequence[Mapping[str, Any]]) -> SlurmSettings:
    """The settings of one array from those of its members, which must not differ: SLURM gives all the same."""
    for other in options[1:]:
        different = [key for key in other if other[key] != options[0].get(key)]
        if different:
            values = " and ".join(str(one.get(different[0])) for one in (options[0], other))
            raise UserError(
                f"the members of one array share their resources, these have {WHERE}.{different[0]}={values}: "
                "submit one command for each"
            )
    return settings.build(SlurmSettings, options[0], WHERE)


def limit_seconds(text: str) -> int:
    """SLURM's notations of a time limit: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise UserError(f"{WHERE}.time={text}: expected minutes, H:M:S or D-H:M:S, e.g. 24:00:00")
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
