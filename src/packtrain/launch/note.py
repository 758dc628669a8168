"""how a process left → a line in $PACKTRAIN_NOTE → the batch script: requeue, restart a few times, or leave it failed

    requeue   asked to stop (time limit, preemption), everything saved
    failed    a mistake or a bug: starting again would meet it again
    lost      another process went away, or one hangs: worth a restart

Without the variable (no launcher of ours) nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import platform
from typing import Literal

VARIABLE = "PACKTRAIN_NOTE"
Verdict = Literal["requeue", "failed", "lost"]


def leave(verdict: Verdict, why: str, code: int | None = None) -> None:
    """Append one line; never raises: the process has worse to say than that its note could not be written."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    leaves = "" if code is None else f", exit code {code}"
    line = f"{verdict}: rank {rank()} on {platform.node()}{leaves}: {' '.join(why.split())[:400]}\n"
    with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
        file.write(line)


def rank() -> int:
    """This process among all of the run, as srun or torchrun counts them; 0 for a process alone."""
    for name in ("RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
