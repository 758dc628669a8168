"""a plan's stages and the merges between them as units of work, which any executor can make (units.Work)

files ─StageWork 0→ parts ─MergeWork 0→ decision ─StageWork 1→ … ─the last StageWork→ train-*, held_out-*
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.data.plan import DECISION, DOCUMENTS, PART, Plan
from packtrain.data.stage import run_unit
from packtrain.data.units import Place, Tick


@dataclass(frozen=True)
class StageWork:
    """Stage `number` of a plan, unit by unit."""

    plan: Plan
    number: int

    @property
    def place(self) -> Place:
        return self.plan.place(self.number)

    def finished(self, unit: int) -> bool:
        gone = set()
        if self.plan.stages[self.number].last is not None:
            if MergeWork(self.plan, self.number).finished(0):
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
class MergeWork:
    """The one unit between a stage and the next: what all parts decide together."""

    plan: Plan
    number: int

    @property
    def place(self) -> Place:
        return self.plan.merge_place(self.number)

    def finished(self, unit: int) -> bool:
        return self.place.values(unit) is not None

    def describe(self, unit: int) -> str:
        step = self.plan.stages[self.number].last
        return f"domain={self.plan.name}, the merge of {step.name if step else self.number}"

    def leave_out(self, unit: int, reason: str) -> bool:
        return False

    def run(self, unit: int, tick: Tick) -> None:
        step, place = self.plan.stages[self.number].last, self.plan.place(self.number)
        assert step is not None
        parts = [place.unit(number) / PART for number in range(len(self.plan.units))]
        with self.place.draft(unit) as draft:
            step.merge(parts, draft.path / DECISION)
        for part in parts:
            part.unlink(missing_ok=True)
