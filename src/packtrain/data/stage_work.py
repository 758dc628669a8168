"""a plan's stages and the merges between them as units of work, which any executor can make (units.Work)

files ─StageWork 0→ parts ─MergeWork 0: a range of hashes a unit→ tables ─(GatherWork 0)→ decision ─StageWork 1→ …
… ─the last StageWork→ train-*, held_out-*
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.data.complete import Executor, Rules, complete
from packtrain.data.hash_ranges import Shard, shards
from packtrain.data.plan import DOCUMENTS, PART, TABLE, Plan
from packtrain.data.stage import run_unit
from packtrain.data.step import Gathering, GlobalStep
from packtrain.data.units import Place, Tick, Work


@dataclass(frozen=True)
class StageWork(Work):
    """Stage `number` of a plan, unit by unit."""

    plan: Plan
    number: int

    @property
    def place(self) -> Place:
        return self.plan.place(self.number)

    def finished(self, unit: int) -> bool:
        gone = set()
        if self.plan.decided(self.number).exists():
            gone.add(PART)
            if StageWork(self.plan, self.number + 1).finished(unit):
                gone.add(DOCUMENTS)
        return self.place.values(unit, gone) is not None

    def describe(self, unit: int) -> str:
        names = [name for _, name in self.plan.units[unit]]
        what = names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} … {names[-1]}"
        return f"domain={self.plan.name}, unit {unit} of stage {self.number + 1} ({what})"

    def leave_out(self, unit: int, reason: str) -> bool:
        """The file that was being read; what later stages stumble over cannot be left out."""
        reading = self.plan.reading(unit)
        if self.number or not reading.exists():
            return False
        self.plan.exclude(unit, reading.read_text(encoding="utf-8", errors="surrogateescape"), reason)
        return True

    def run(self, unit: int, tick: Tick) -> None:
        with self.place.draft(unit) as draft:
            run_unit(self.plan, self.number, unit, draft.path, tick).save(draft.path)
        if self.number:  # the disk holds one copy of a document, not one a stage
            (self.plan.place(self.number - 1).unit(unit) / DOCUMENTS).unlink(missing_ok=True)
        self.plan.reading(unit).unlink(missing_ok=True)


@dataclass(frozen=True)
class MergeWork(Work):
    """What lies between stage `number` and the next, a unit for each range of the hashes: what all parts decide.

    size: bytes of all parts, in so many `shards`.
    """

    plan: Plan
    number: int
    size: int
    shards: int

    @property
    def step(self) -> GlobalStep:
        step = self.plan.stages[self.number].last
        assert step is not None
        return step

    @property
    def place(self) -> Place:
        return self.plan.merge_place(self.number, f"{self.size} bytes in {self.shards}")

    def describe(self, unit: int) -> str:
        return f"domain={self.plan.name}, merge of {self.step.name}, range {unit + 1} of {self.shards}"

    def run(self, unit: int, tick: Tick) -> None:
        places = self.plan.place(self.number)
        parts = [places.unit(number) / PART for number in range(len(self.plan.units))]
        with self.place.draft(unit) as draft:
            self.step.merge(parts, draft.path / TABLE, Shard(unit, self.shards, tick))


@dataclass(frozen=True)
class GatherWork(Work):
    """One unit after a merge: what the tables of all its ranges decide together, where the step needs it."""

    merge: MergeWork

    @property
    def place(self) -> Place:
        merged = self.merge.place
        return Place(merged.folder.with_name(merged.folder.name.replace("merge", "gather")), merged.fingerprint)

    def describe(self, unit: int) -> str:
        return f"domain={self.merge.plan.name}, all ranges of {self.merge.step.name} together"

    def run(self, unit: int, tick: Tick) -> None:
        tables, step = [self.merge.place.unit(n) / TABLE for n in range(self.merge.shards)], self.merge.step
        assert isinstance(step, Gathering)
        with self.place.draft(unit) as draft:
            step.gather(tables, draft.path / TABLE, tick)


def merge(plan: Plan, number: int, executor: Executor, rules: Rules) -> None:
    """Makes the decision between stage `number` and the next, where it is not made; then its parts have served."""
    parts = [plan.place(number).unit(unit) / PART for unit in range(len(plan.units))]
    if not plan.decided(number).exists():
        size = sum(part.stat().st_size for part in parts)
        work = MergeWork(plan, number, size, shards(size))
        complete(work, [size // work.shards] * work.shards, f"merge {work.step.name}", executor, rules)
        tables = [work.place.unit(n) for n in range(work.shards)]
        if isinstance(work.step, Gathering):
            gather = GatherWork(work)
            complete(gather, [1], f"gather {work.step.name}", executor, rules)
            tables = [gather.place.unit(0)]
        plan.decide(number, work.place.fingerprint, tables)
    for part in parts:
        part.unlink(missing_ok=True)


def forget_damaged(plan: Plan) -> None:
    """A decision of which a table is damaged is made anew; asked once, when the command begins."""
    for number in range(len(plan.stages) - 1):
        if plan.decided(number).exists() and not plan.decision_is_whole(number):
            plan.decided(number).unlink()
