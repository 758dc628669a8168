"""files → units → stage 0 on every unit → merge → stage 1 → … → train-*, held_out-*, dropped-* and the report's values

Units are neighbouring files of some 64 MB together (a larger file is one by itself). Each stage maps the units over
processes; between stages a global step merges what the units contributed. Units, not processes, decide every result:
one process or eight give the same bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from typing import Any

from tqdm import tqdm

from packtrain.data.documents import DocumentWriter, read_file
from packtrain.data.domain import Source
from packtrain.data.plan import DROPPED, SPOOL, Outcome, Plan, decision_file, part_file, written
from packtrain.data.report import Report
from packtrain.data.splits import FEW, both_splits
from packtrain.data.stage import run_unit
from packtrain.data.statistics import pairs
from packtrain.errors import Failure

UNIT_BYTES = 64_000_000
UNIT_FILES = 1000
SPLITS = ("train", "held_out")


def units_of(
    files: Sequence[tuple[Source, str]], sizes: Sequence[int], limit: int = UNIT_BYTES
) -> list[tuple[tuple[Source, str], ...]]:
    """The files in their order, cut into units; by their sizes alone."""
    units: list[list[tuple[Source, str]]] = []
    room = 0
    for file, size in zip(files, sizes, strict=True):
        if not units or size > room or len(units[-1]) >= UNIT_FILES:
            units.append([])
            room = limit
        units[-1].append(file)
        room -= size
    return [tuple(unit) for unit in units]


def run_steps(plan: Plan, weights: Sequence[int], processes: int | None) -> dict[str, Any]:
    """Makes the documents in `plan.folder` and returns what report.json says of them.

    weights: bytes of each unit, for the progress bar. Raises `Failure` where a process was killed.
    """
    parts = plan.stages
    workers = max(1, min(processes or len(os.sched_getaffinity(0)), len(plan.units)))
    total = Outcome()
    tallies = []
    for number, stage in enumerate(parts):
        what = f"prepare {plan.name}" + (f" {number + 1}/{len(parts)}" if len(parts) > 1 else "")
        outcome = Outcome()
        for done in _map(plan, number, weights, workers, what):
            outcome.merge(done)
        tallies += outcome.tallies
        outcome.tallies = []
        total.merge(outcome)
        if stage.last is not None:
            collected = [part_file(plan.folder, number, unit) for unit in range(len(plan.units))]
            stage.last.merge(collected, decision_file(plan.folder, number))
            for path in collected:
                path.unlink(missing_ok=True)
    splits = _gather(plan, total)
    shutil.rmtree(plan.folder / SPOOL, ignore_errors=True)
    dropped = sum((tally.dropped for tally in tallies), start=Counter[str]())
    return {
        "read": total.before.documents + splits.kept - total.after.documents,  # one may have been cut in two
        "kept": splits.kept,
        "dropped": dict(sorted(dropped.items())),
        "steps": [tally.values() for tally in tallies],
        "skipped": total.skips.values(),
        "characters": total.after.characters,
        "bytes": total.after.bytes,
        "splits": splits.values()["splits"],
        "before": total.before.values(),
        "after": total.after.values(),
        "samples": pairs(total.before, total.after),
        "dropped_samples": total.lost.values(),
    }


class _Progress:
    """The bar: bytes of the units done, and beside them the documents of those under way, told by the workers."""

    def __init__(self, total: int, what: str) -> None:
        self.bar = tqdm(total=total, desc=what, unit="B", unit_scale=True, delay=1, disable=None)
        self.documents, self.shown = 0, 0.0

    def tick(self, characters: int) -> None:
        self.tell(self.documents + 1)

    def tell(self, documents: int) -> None:
        self.documents = documents
        if (now := time.monotonic()) > self.shown + 0.5:
            self.shown = now
            self.bar.set_postfix_str(f"{documents:,} documents", refresh=self.bar.n > 0 or documents > 0)


_shared: Any = None  # in a worker: the counter of documents that it shares with the others


def _begin(counter: Any) -> None:
    global _shared
    _shared = counter
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, and hold its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(plan: Plan, stage: int, unit: int) -> Outcome:
    waiting = 0

    def tick(characters: int) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 64:
            with _shared.get_lock():
                _shared.value += waiting
            waiting = 0

    return run_unit(plan, stage, unit, tick)


def _map(plan: Plan, stage: int, weights: Sequence[int], workers: int, what: str) -> Iterator[Outcome]:
    """The outcome of every unit, in the order of the units. With one worker in this process, without start-up."""
    progress = _Progress(sum(weights), what)
    with progress.bar as bar:
        if workers == 1:
            for unit, weight in enumerate(weights):
                yield run_unit(plan, stage, unit, progress.tick)
                bar.update(weight)
            return
        context = multiprocessing.get_context("spawn")
        counter = context.Value("q", 0)
        with ProcessPoolExecutor(workers, context, _begin, (counter,)) as pool:
            try:
                yield from _in_order(pool, plan, stage, weights, progress, counter)
            except BrokenProcessPool:
                remedy = "perhaps for want of memory; try again with prepare.processes=1"
                raise Failure(f"a process was killed, {remedy}") from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _in_order(
    pool: ProcessPoolExecutor, plan: Plan, stage: int, weights: Sequence[int], progress: _Progress, counter: Any
) -> Iterator[Outcome]:
    futures: list[Future[Outcome]] = [pool.submit(_work, plan, stage, unit) for unit in range(len(plan.units))]
    place = {future: unit for unit, future in enumerate(futures)}
    pending, following = set(futures), 0
    while following < len(futures):
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        progress.tell(counter.value)
        for future in finished:
            future.result()  # raises here what was raised there
            progress.bar.update(weights[place[future]])
        while following < len(futures) and futures[following].done():
            yield futures[following].result()
            following += 1


def _gather(plan: Plan, total: Outcome) -> Report:
    """The files of all units under their final names; with few documents, split anew so that both sides get some."""
    folders = [written(plan.folder, unit) for unit in range(len(plan.units))]
    for number, path in enumerate(file for folder in folders for file in sorted(folder.glob(f"{DROPPED}-*/*.zst"))):
        path.rename(plan.folder / f"{DROPPED}-{number:05d}.jsonl.zst")
    found = {split: [f for folder in folders for f in sorted(folder.glob(f"{split}-*.zst"))] for split in SPLITS}
    if total.after.documents >= FEW:
        for split, files in found.items():
            for number, path in enumerate(files):
                path.rename(plan.folder / f"{split}-{number:05d}.jsonl.zst")
        return total.splits
    documents = [document for files in found.values() for path in files for document in read_file(path)]
    documents = [replace(d, split=total.own_splits.get(d.id)) for d in sorted(documents, key=lambda d: d.id)]
    report = Report()
    with DocumentWriter(plan.folder) as writer:
        for document in both_splits(documents, plan.held_out):
            writer.write(document)
            report.keep(document)
    return report
