"""a unit of work as a step of datatrove's, so that its executors can run ours; rank r makes unit todo[r]

datatrove marks ranks as completed whatever their settings, and marks nothing about what they wrote. So every round has
a folder of logs of its own, and what counts as finished is the unit's folder alone (units.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from packtrain.data.executors.local import watched
from packtrain.data.units import Work

LOGS = "logs"


class UnitStep(PipelineStep):
    """Reads and writes by itself: no documents pass through."""

    name, type = "unit", "packtrain"

    def __init__(self, work: Work, todo: Sequence[int], timeout: float) -> None:
        super().__init__()
        self.work, self.todo, self.timeout, self.folder = work, tuple(todo), timeout, os.getcwd()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        os.chdir(self.folder)  # paths are relative to where the command was given
        watched(self.work, self.todo[rank], self.timeout)
        self.stat_update("units")


def logs_of(work: Work) -> Path:
    """A new folder for datatrove's logs of one round; beside the units."""
    logger.disable("datatrove")  # it tells the terminal about every task; the logs of the tasks are files
    folder = work.place.folder.parent / LOGS / f"{work.place.folder.name}-{uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder.resolve()


def why(logs: Path, rank: int) -> str:
    """Why the unit of this rank was lost, as far as its log says."""
    try:
        lines = (logs / "logs" / f"task_{rank:05d}.log").read_text(errors="replace").split("\n")
        said = next(line for line in reversed(lines) if "Error" in line)
        return f"its process ended ({said.strip()[:200]})"
    except (OSError, StopIteration):
        return f"its process ended without a word (logs in {logs})"
