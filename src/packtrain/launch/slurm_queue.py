"""squeue, else sacct → the state of each array task, or nothing where there is no SLURM

Both are asked once for all jobs. A job that neither knows any more has ended; its run folder says how.
"""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

# What squeue calls waiting or under way; anything else is an end.
ALIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING", "STOPPED")


@dataclass(frozen=True)
class Task:
    """One array task in the queue: its state in SLURM's words, the time left under its limit, its nodes or reason."""

    state: str
    left: str = ""
    where: str = ""

    @property
    def alive(self) -> bool:
        return self.state.startswith(ALIVE)


def tasks(jobs: Iterable[int]) -> dict[tuple[int, int], Task]:
    """(job, array index) → its state; what has left the queue comes from sacct, where accounting is kept."""
    wanted = set(jobs)
    if not wanted:
        return {}
    found = parse_squeue(_ask("squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}",
                              "--format=%F|%K|%T|%L|%R"))  # fmt: skip
    found = {key: task for key, task in found.items() if key[0] in wanted}
    gone = sorted(wanted - {job for job, _ in found})
    if gone:
        listed = ",".join(map(str, gone))
        past = _ask("sacct", "--noheader", "--parsable2", "--array", "--allocations", f"--jobs={listed}",
                    "--format=JobID,State")  # fmt: skip
        found.update(parse_sacct(past))
    return found


def parse_squeue(text: str) -> dict[tuple[int, int], Task]:
    found = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 4)
        if len(parts) == 5 and parts[0].isdigit() and parts[1].isdigit():
            job, index, state, left, where = parts
            found[int(job), int(index)] = Task(state, left if state == "RUNNING" else "", where.strip("()"))
    return found


def parse_sacct(text: str) -> dict[tuple[int, int], Task]:
    found = {}
    for line in text.splitlines():
        name, _, state = line.strip().partition("|")
        job, _, index = name.partition("_")
        if job.isdigit() and index.isdigit() and state:
            found[int(job), int(index)] = Task(state.split()[0])
    return found


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
