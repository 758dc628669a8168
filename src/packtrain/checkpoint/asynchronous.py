"""copy (training waits) ─thread→ shards ─ checksums of every rank → checkpoint.json → rename: committed

    start ── copies ──→ training goes on
                 └─ thread of each rank: writes, hashes its own files, meets the others, rank 0 commits
    wait  ── the save under way, if any, is committed or has failed: on every rank alike

All collectives of the threads run on a gloo group of their own, one save after the other.
"""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from packtrain.checkpoint.directory import describe, seal, temporary_of, why_not_written
from packtrain.checkpoint.sharded import files_of, write_later
from packtrain.errors import Failure

STATE = "state.pt"


class Saver:
    """Saves of one run, one at a time. `after` is called on rank 0 when one is committed."""

    def __init__(self, after: Callable[[], None] = lambda: None) -> None:
        self.group: Any = dist.new_group(backend="gloo")
        self.rank = dist.get_rank()
        self.after = after
        self._thread: threading.Thread | None = None
        self._error: str | None = None

    def start(self, path: Path, tensors: dict[str, Tensor], rest: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Begins to save to `path` and returns when the tensors are copied. Raises `Failure` where the last save did.

        `tensors` are DTensors, or the same on every rank; `rest` (rank 0's counts) must be plain for weights_only.
        """
        self.wait()
        folder = temporary_of(path)
        problem: str | None = None
        if self.rank == 0:
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            except OSError as error:
                problem = why_not_written(path, error)
        self._raise(self._shared(problem))
        state = io.BytesIO()
        torch.save(dict(rest), state)
        future = write_later(tensors, folder, self.group)
        self._thread = threading.Thread(target=self._finish, args=(future, path, state, dict(meta)), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when no save is under way. Raises `Failure`, on every rank, where the last one failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        self._raise(error)

    def _finish(self, future: Any, path: Path, state: io.BytesIO, meta: dict[str, Any]) -> None:
        folder = temporary_of(path)
        files: dict[str, Any] = {}
        problem: str | None = None
        try:
            future.result()
            if self.rank == 0:
                (folder / STATE).write_bytes(state.getbuffer())
            own = files_of(self.rank, folder) + ([folder / STATE] if self.rank == 0 else [])
            files = {file.name: describe(file) for file in own}
        except Exception as error:  # whatever a writer raises: told to all ranks below
            problem = why_not_written(path, error)
        try:
            told: list[Any] = [None] * dist.get_world_size(self.group)
            dist.all_gather_object(told, (problem, files), group=self.group)
            problem = next((said for said, _ in told if said), None)
            if problem is None and self.rank == 0:
                try:
                    seal(folder, path, meta, {name: entry for _, found in told for name, entry in found.items()})
                    self.after()
                except OSError as error:
                    problem = why_not_written(path, error)
            self._error = self._shared(problem)
        except Exception as error:  # a rank is gone: the launcher will say so
            self._error = f"checkpoint {path.name}: the ranks lost each other: {error}"
        if self._error and self.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)

    def _shared(self, value: str | None) -> str | None:
        box = [value]
        dist.broadcast_object_list(box, 0, group=self.group)
        return box[0]

    def _raise(self, problem: str | None) -> None:
        if problem is None:
            return
        if self.rank == 0:
            raise Failure(problem)
        time.sleep(3)  # rank 0 says it first: a launcher ends all ranks when it sees one fail
        raise SystemExit(1)
