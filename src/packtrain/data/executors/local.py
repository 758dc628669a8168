"""units → worker processes of this machine, one unit at a time each, watched: a single unit too

A worker that dies is noticed at once, one that hangs when it has finished no document for `timeout` seconds; either is
replaced, and its unit told as lost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from types import ModuleType
from typing import Any, Literal

from tqdm import tqdm

from packtrain.data.complete import Rules
from packtrain.data.units import Unreadable, Work, attempt, tell_error, told_error
from packtrain.errors import UserError

POLL_SECONDS = 0.5
LEAVE_SECONDS = 5.0


@dataclass(frozen=True)
class LocalExecutor:
    """processes: null is one a core; 0: this very process does the work, for a debugger, and nothing watches it."""

    engine: Literal["local"] = "local"
    processes: int | None = None

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 0:
            raise UserError(f"processes={self.processes}: expected at least 1, null for one a core, or 0 for none")

    def run(
        self, work: Work, todo: Sequence[int], weights: Sequence[int], what: str, rules: Rules
    ) -> Mapping[int, str]:
        """As `complete.Executor` says. Without a process of its own a unit raises by itself."""
        workers = cores() if self.processes is None else self.processes
        progress = Progress(weights, todo, what)
        with progress.bar:
            if workers:
                return _Pool(work, todo, rules.timeout, progress).run(min(workers, len(todo)))
            lost = {}
            for unit in todo:
                try:
                    work.run(unit, progress.tick)
                except Unreadable as error:
                    lost[unit] = str(error)
                progress.done(unit)
            return lost


def cores() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0))


def watched(work: Work, unit: int, timeout: float) -> None:
    """Makes one unit in a process of its own, for an engine that would not notice its death; tells what went wrong."""
    progress = Progress([0] * (unit + 1), [unit], "unit")
    progress.bar.disable = True
    for lost, reason in _Pool(work, [unit], timeout, progress).run(1).items():
        tell_error(work, lost, Unreadable(reason))


class Progress:
    """The bar: bytes of the units done, and beside them the documents of those under way, told by the workers."""

    def __init__(self, weights: Sequence[int], todo: Sequence[int], what: str) -> None:
        before = sum(weights) - sum(weights[unit] for unit in todo)
        self.bar = tqdm(total=sum(weights), initial=before, desc=what, unit="B", unit_scale=True, delay=1, disable=None)
        self.weights, self.documents, self.shown = weights, 0, 0.0

    def done(self, unit: int) -> None:
        self.bar.update(self.weights[unit])

    def tick(self, characters: int) -> None:
        self.tell(self.documents + 1)

    def tell(self, documents: int) -> None:
        self.documents = documents
        if (now := time.monotonic()) > self.shown + 0.5:
            self.shown = now
            self.bar.set_postfix_str(f"{documents:,} documents", refresh=self.bar.n > 0 or documents > 0)


class _Worker:
    def __init__(self, context: Any, work: Work) -> None:
        self.documents = context.Value("q", 0, lock=False)  # one writes, and a lock would outlive a killed holder
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.documents, work), daemon=True)
        with _no_main():
            self.process.start()
        theirs.close()
        self.unit: int | None = None
        self.seen, self.since = 0, time.monotonic()

    def begin(self, unit: int) -> None:
        self.unit, self.since = unit, time.monotonic()
        with contextlib.suppress(OSError):  # it died: noticed when it is asked
            self.pipe.send(unit)

    def ended(self, timeout: float) -> str | None:
        """ "" where the unit has ended, a reason where it was lost, None while it is under way."""
        try:
            if self.pipe.poll():
                self.pipe.recv()
                return ""
        except (EOFError, OSError):
            return self._lost("its process was killed, perhaps for want of memory")
        if not self.process.is_alive():
            return self._lost("its process was killed, perhaps for want of memory")
        if self.documents.value != self.seen:
            self.seen, self.since = self.documents.value, time.monotonic()
        if time.monotonic() - self.since > timeout:
            return self._lost(f"its process hung, no document for {timeout:g} s")
        return None

    def _lost(self, reason: str) -> str:
        self.stop()
        return reason

    def stop(self) -> None:
        self.pipe.close()
        if self.unit is None:  # it reads that there is no more, and clears up behind itself
            self.process.join(LEAVE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


class _Pool:
    def __init__(self, work: Work, todo: Sequence[int], timeout: float, progress: Progress) -> None:
        self.work, self.timeout, self.progress = work, timeout, progress
        self.left = list(reversed(todo))
        self.lost: dict[int, str] = {}
        self.finished_documents = 0
        self.context = multiprocessing.get_context("spawn")

    def run(self, count: int) -> Mapping[int, str]:
        workers: list[_Worker] = []
        try:
            for _ in range(count):
                workers.append(_Worker(self.context, self.work))
                workers[-1].begin(self.left.pop())
            while busy := [worker for worker in workers if worker.unit is not None]:
                wait_for([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=POLL_SECONDS)
                for worker in busy:
                    self._look_after(worker, workers)
                self.progress.tell(self.finished_documents + sum(worker.documents.value for worker in workers))
            return self.lost
        finally:
            for worker in workers:  # those that have nothing to do all at once
                worker.pipe.close()
            for worker in workers:
                worker.stop()

    def _look_after(self, worker: _Worker, workers: list[_Worker]) -> None:
        reason = worker.ended(self.timeout)
        if reason is None:
            return
        unit, worker.unit = worker.unit, None
        assert unit is not None
        self.progress.done(unit)
        if reason:
            self.lost[unit] = reason
            workers.remove(worker)
            self.finished_documents += worker.documents.value
            if self.left:
                worker = _Worker(self.context, self.work)
                workers.append(worker)
        elif not isinstance(told_error(self.work, unit), Unreadable | None):
            self.left.clear()  # `complete` raises it
        if self.left:
            worker.begin(self.left.pop())


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """A worker would import the program that began it, and a script without `if __name__ == "__main__"` run again."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(pipe: Connection, documents: Any, work: Work) -> None:
    """A worker: the numbers of units in, an empty word out for each that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tick(characters: int) -> None:
        documents.value += 1

    while True:
        try:
            unit = pipe.recv()
        except EOFError:
            return
        attempt(work, unit, tick)
        pipe.send("")


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, and hold its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
