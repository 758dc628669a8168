"""a spike at step s → back to the checkpoint of step c, then on with later batches: spikes/rewinds.json

    before   step  0 … c … s            step k reads batch k
    after            c … … … total      step k ≥ c reads batch next_batch + k − c: those around the spike are never read

As PaLM's team did by hand (arXiv 2204.02311, §5.1): restarted about 100 steps before a spike, past 200–500 batches. The
file is written before anything else happens, so a kill at any moment goes on where the decision left off.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packtrain.checkpoint.directory import MARKER, metas
from packtrain.errors import Failure

SPIKES = "spikes"
REWINDS = "rewinds.json"


@dataclass(frozen=True)
class Rewind:
    """At step `spike` (counted from 1) the run went back to the checkpoint of step `to`, which reads `next_batch`."""

    spike: int
    to: int
    next_batch: int


class GoBack(Exception):
    """Leaves the training loop on every rank; `rewind` is already written."""

    def __init__(self, rewind: Rewind) -> None:
        super().__init__(f"back from step {rewind.spike} to step {rewind.to}")
        self.rewind = rewind


def read_rewinds(run_dir: str | Path) -> tuple[Rewind, ...]:
    """All that were decided, in their order. Raises `Failure` where the file is damaged."""
    path = Path(run_dir) / SPIKES / REWINDS
    try:
        return tuple(Rewind(**entry) for entry in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise Failure(f"{path} cannot be read ({error}): which batches come next is not known without it") from None


def write_rewind(run_dir: str | Path, rewind: Rewind) -> None:
    """Adds one, by rename, and waits for the disk."""
    folder = Path(run_dir) / SPIKES
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (REWINDS + ".tmp")
    with temporary.open("w") as stream:
        json.dump([asdict(entry) for entry in (*read_rewinds(run_dir), rewind)], stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / REWINDS)


def batch_of(step: int, rewinds: Sequence[Rewind]) -> int:
    """The number of the batch that step `step` (from 0) reads; without a rewind it is the step's own."""
    for number in range(len(rewinds) - 1, -1, -1):
        entry = rewinds[number]
        superseded = any(later.to <= entry.to for later in rewinds[number + 1 :])
        if entry.to <= step and not superseded:
            return entry.next_batch + step - entry.to
    return step


def in_force(step: int, batch: int, rewinds: Sequence[Rewind]) -> Sequence[Rewind]:
    """Those that were decided when step `step` (from 0) read batch `batch`."""
    known = (rewinds[:number] for number in range(len(rewinds) + 1))
    return next((some for some in known if batch_of(step, some) == batch), rewinds)


def forget_abandoned(run_dir: str | Path) -> tuple[Rewind, ...]:
    """Removes the checkpoints of what a rewind has left behind: later than where it went, and made before it. Returns
    all rewinds."""
    rewinds = read_rewinds(run_dir)
    for path, meta in metas(run_dir):
        if any(meta["step"] > r.to and meta.get("rewinds", 0) <= number for number, r in enumerate(rewinds)):
            (path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
    return rewinds
