"""files → units → stage 0 on every unit → merge → stage 1 → … → train-*, held_out-*, dropped-* and the report's values

Units are neighbouring files of some 64 MB together (a larger file is one by itself). Each stage maps the units over
processes, of this machine or of many; between stages a global step merges what the units contributed, in units
of their own. Units, not processes, decide every result: one process or a thousand give the same bytes, and a unit that
is finished stays so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packtrain.data.complete import Executor, Rules, complete
from packtrain.data.documents import DocumentWriter, read_file
from packtrain.data.domain import Source
from packtrain.data.outcome import Outcome
from packtrain.data.plan import DROPPED, Plan
from packtrain.data.publish import link
from packtrain.data.report import Report
from packtrain.data.splits import FEW, both_splits, known_by
from packtrain.data.stage_work import StageWork, forget_damaged, merge
from packtrain.data.statistics import pairs

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


def run_steps(plan: Plan, folder: Path, weights: Sequence[int], executor: Executor, rules: Rules) -> dict[str, Any]:
    """Makes the documents in `folder` and returns what report.json says of them; what is finished is not made again.

    weights: bytes of each unit, for the progress bar. Raises `Failure` where a unit cannot be made.
    """
    forget_damaged(plan)
    total, parts = Outcome(), plan.stages
    tallies = []
    for number, stage in enumerate(parts):
        what = f"prepare {plan.name}" + (f" {number + 1}/{len(parts)}" if len(parts) > 1 else "")
        complete(StageWork(plan, number), weights, what, executor, rules)
        outcome = Outcome()
        for unit in range(len(plan.units)):
            outcome.merge(Outcome.load(plan.place(number).unit(unit)))
        tallies += outcome.tallies
        outcome.tallies = []
        total.merge(outcome)
        if stage.last is not None:
            merge(plan, number, executor, rules)
    splits = _gather(plan, folder, total)
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


def _gather(plan: Plan, folder: Path, total: Outcome) -> Report:
    """The files of all units under their final names; with few documents, split anew so that both sides get some."""
    stages = range(len(plan.stages))
    units = [[plan.place(stage).unit(unit) for stage in stages] for unit in range(len(plan.units))]
    thrown = [file for unit in units for stage in unit for file in sorted(stage.glob(f"{DROPPED}-*/*.zst"))]
    for number, path in enumerate(thrown):
        link(path, folder / f"{DROPPED}-{number:05d}.jsonl.zst")
    found = {split: [f for unit in units for f in sorted(unit[-1].glob(f"{split}-*.zst"))] for split in SPLITS}
    if total.after.documents >= FEW:
        for split, files in found.items():
            for number, path in enumerate(files):
                link(path, folder / f"{split}-{number:05d}.jsonl.zst")
        return total.splits
    documents = [document for files in found.values() for path in files for document in read_file(path)]
    documents = [replace(d, split=total.own_splits.get(known_by(d))) for d in sorted(documents, key=lambda d: d.id)]
    report = Report()
    with DocumentWriter(folder) as writer:
        for document in both_splits(documents, plan.held_out):
            writer.write(document)
            report.keep(document)
    return report
