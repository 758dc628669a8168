"""one unit of files through one stage, in a process of its own

read or spool ─(apply the decision)→ step → step → … ─collect→ spool + part.npy    where a global step follows
                                                  └─write→ train, held_out         in the last stage
A unit is a few neighbouring files; it is read as a stream, so memory is bounded by its largest document. What it
makes is published by one rename (units.py).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from packtrain.data.documents import HALF_PAIR, Document, DocumentWriter, read_file, split_in
from packtrain.data.hash_ranges import Decision
from packtrain.data.outcome import Outcome
from packtrain.data.plan import DOCUMENTS, DROPPED, PART, Plan
from packtrain.data.splits import FEW, known_by
from packtrain.data.statistics import DropSamples
from packtrain.data.step import GlobalStep, Skips, Tally, printable
from packtrain.data.units import Tick, Unreadable
from packtrain.errors import Failure, UserError

# A full disk, or too many open files: faults of the machine, by which no file may be lost
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def run_unit(plan: Plan, number: int, unit: int, folder: Path, tick: Tick) -> Outcome:
    """Stage `number` for one unit into `folder`; `tick` is told the characters of each document that was read."""
    stage, out = plan.stages[number], Outcome()
    with _Dropped(plan, number, folder, out.lost) as dropped:
        documents = (
            out.before.watch(_sound(_read(plan, unit, out.skips))) if number == 0 else _spooled(plan, number - 1, unit)
        )
        documents = _ticking(documents, tick)
        if (first := stage.first) is not None:
            apply = partial(_applied, first, plan.decision(number - 1))
            documents = _through(apply, first.name, documents, out, dropped)
        for step in stage.steps:
            documents = _through(step, step.name, documents, out, dropped)
        if stage.last is not None:
            _collect(documents, stage.last, folder)
        else:
            with DocumentWriter(folder) as writer:
                for document in out.after.watch(_sound(documents)):
                    if document.split is not None and len(out.own_splits) < FEW:
                        out.own_splits[known_by(document)] = document.split
                    document = replace(document, split=split_in(document, plan.held_out))
                    out.splits.keep(document)
                    writer.write(document)
    return out


def _applied(step: GlobalStep, decision: Decision, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
    return step.apply(documents, decision, tally)


class _Dropped:
    """What is dropped on the way: a few of each reason for the report; with keep_dropped all of it, in files."""

    def __init__(self, plan: Plan, stage: int, folder: Path, samples: DropSamples) -> None:
        self.samples = samples
        self.writer = DocumentWriter(folder / f"{DROPPED}-{stage:02d}") if plan.keep_dropped else None

    def write(self, document: Document, step: str, reason: str) -> None:
        document = next(_sound([document]))
        self.samples.add(document, step, reason)
        if self.writer is not None:
            why = {"dropped_by": step, "dropped_reason": reason}
            self.writer.write(replace(document, split=None, metadata={**document.metadata, **why}))

    def __enter__(self) -> _Dropped:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()


def _read(plan: Plan, unit: int, skips: Skips) -> Iterator[Document]:
    """Every document of every file. A reader that stumbles over its file loses the rest of it, which is counted."""
    excluded, reading = plan.excluded(unit), plan.reading(unit)
    reading.parent.mkdir(parents=True, exist_ok=True)
    for source, name in plan.units[unit]:
        skips.file = name
        count = 0
        if name in excluded:
            skips.skip("given up", None, excluded[name])
            continue
        reading.write_text(name, encoding="utf-8", errors="surrogateescape")
        documents = iter(plan.domain.read(source, name, plan.parameters, skips))
        while True:
            try:
                document = next(documents)
            except StopIteration:
                break
            except (UserError, Failure, MemoryError):
                raise
            except Exception as error:  # one strange file among millions must not end the work of a night
                if isinstance(error, OSError) and error.errno in MACHINE:
                    raise
                if isinstance(error, OSError) and error.errno is not None:
                    raise Unreadable(f"{printable(name)} cannot be read ({error.strerror})") from None
                skips.skip(f"reader failed: {type(error).__name__}", count, f"after document {count}: {error}")
                break
            count += 1
            yield _with_a_name(document)


def _with_a_name(document: Document) -> Document:
    """A file's name may be bytes that are no UTF-8, which a JSON line cannot hold; escaped, names still differ."""
    if document.id.isascii() and document.source.isascii():
        return document
    names = {key: value for key in ("id", "source", "url") if (value := getattr(document, key)) is not None}
    return replace(
        document, **{key: value.encode("utf-8", "backslashreplace").decode() for key, value in names.items()}
    )


def _spooled(plan: Plan, stage: int, unit: int) -> Iterator[Document]:
    """What an earlier stage left; a unit of which nothing stayed has no file."""
    made = plan.place(stage).values(unit, {PART, DOCUMENTS})
    if made is None:
        raise Failure(f"{plan.place(stage).unit(unit)}: is gone; run the same command again with overwrite=true")
    if DOCUMENTS in made["files"]:
        yield from read_file(plan.place(stage).unit(unit) / DOCUMENTS)


def _collect(documents: Iterable[Document], step: GlobalStep, folder: Path) -> None:
    """Spools the documents while the step looks at them."""
    with DocumentWriter(folder, single=DOCUMENTS.partition("-")[0]) as writer:

        def passing() -> Iterator[Document]:
            for document in _sound(documents):
                writer.write(document)
                yield document

        rest = passing()
        part = step.collect(rest)
        for _ in rest:
            raise RuntimeError(f"step {step.name}: collect left documents unread")
    np.save(folder / PART, part, allow_pickle=False)


def _ticking(documents: Iterable[Document], tick: Callable[[int], None]) -> Iterator[Document]:
    for document in documents:
        tick(len(document.text))
        yield document


def _through(
    step: Callable[[Iterable[Document], Tally], Iterator[Document]],
    name: str,
    documents: Iterable[Document],
    out: Outcome,
    dropped: _Dropped,
) -> Iterator[Document]:
    """The documents that a step gives; at the end what it took, kept and dropped must agree, or one was lost."""
    tally = Tally(name, sink=dropped.write)
    out.tallies.append(tally)
    taken = given = 0

    def taking() -> Iterator[Document]:
        nonlocal taken
        for document in documents:
            taken += 1
            yield document

    def giving() -> Iterator[Document]:
        nonlocal given
        for document in step(taking(), tally):
            given += 1
            yield document
        if (taken, given) != (tally.seen, tally.kept):
            counts = f"took {taken}, counted {tally.kept} kept and {tally.dropped.total()} dropped, gave {given}"
            raise RuntimeError(f"step {name}: {counts}; each document must be kept, changed or dropped, once")

    return giving()


def _sound(documents: Iterable[Document]) -> Iterator[Document]:
    """Halves of surrogate pairs, which UTF-8 cannot hold, become the replacement character."""
    for document in documents:
        if not document.text.isascii() and HALF_PAIR.search(document.text):
            document = replace(document, text=re.sub(HALF_PAIR, "\ufffd", document.text))
        yield document
