"""a domain's steps, cut at the global ones, over units of files: Plan → Stage × unit, and where files lie

WORK/00/000003/            what stage 0 made of unit 3: outcome.json.zst, documents-00000.jsonl.zst for the next stage,
                           part.npy for the global step; of the last stage train-*, held_out-*; dropped-*/ beside them
WORK/00-merge/000002/      table.npy, what the global step between stages 0 and 1 makes of the third range of the hashes
WORK/00-gather/000000/     table.npy, what some steps make of all ranges
WORK/00-decision.json      the tables that stage 1 goes by, written when they are whole
WORK/excluded/000003.json  files of unit 3 that are left out, with the reason
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.data.domain import Domain, Source
from packtrain.data.domains.registry import find
from packtrain.data.hash_ranges import Decision
from packtrain.data.step import AnyStep, GlobalStep, Step, is_global
from packtrain.data.units import Place

DROPPED = "dropped"
DOCUMENTS = "documents-00000.jsonl.zst"
PART = "part.npy"
TABLE = "table.npy"


@dataclass(frozen=True)
class Plan:
    """What a worker must know of the whole; plain values, so that it can be sent to another process.

    units: the files of each unit with their names. work: the folder of all that is made on the way. fingerprint: of
    settings, code and input.
    """

    name: str
    parameters: Any
    units: tuple[tuple[tuple[Source, str], ...], ...]
    work: Path
    fingerprint: str
    held_out: float
    keep_dropped: bool
    further: tuple[AnyStep, ...] = ()  # after the domain's own

    @property
    def domain(self) -> Domain:
        domain = find(self.name)
        assert isinstance(domain, Domain)
        return domain

    @property
    def stages(self) -> list[Stage]:
        return stages([*self.domain.steps(self.parameters), *self.further])

    def place(self, stage: int) -> Place:
        """The units of a stage."""
        return Place(self.work / f"{stage:02d}", self.fingerprint)

    def merge_place(self, stage: int, parts: str) -> Place:
        """The ranges of the merge between `stage` and the next; one that was made of other `parts` does not count."""
        return Place(self.work / f"{stage:02d}-merge", f"{self.fingerprint} {parts}")

    def decided(self, stage: int) -> Path:
        """There when the merge after `stage` is whole."""
        return self.work / f"{stage:02d}-decision.json"

    def decide(self, stage: int, fingerprint: str, units: Sequence[Path]) -> None:
        """Names the units whose tables are the decision."""
        values = {"fingerprint": fingerprint, "units": [unit.relative_to(self.work).as_posix() for unit in units]}
        write_json(self.decided(stage), values)

    def decision(self, stage: int) -> Decision:
        return Decision([self.work / unit / TABLE for unit in read_json(self.decided(stage))["units"]])

    def decision_is_whole(self, stage: int) -> bool:
        made = read_json(self.decided(stage))
        units = [self.work / unit for unit in made["units"]]
        return all(Place(unit.parent, made["fingerprint"]).values(int(unit.name)) is not None for unit in units)

    def excluded(self, unit: int) -> dict[str, str]:
        """Names of the files of a unit that are left out, each with the reason."""
        path = self._excluded(unit)
        return read_json(path) if path.exists() else {}

    def exclude(self, unit: int, name: str, reason: str) -> None:
        path = self._excluded(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**self.excluded(unit), name: reason})

    def _excluded(self, unit: int) -> Path:
        return self.work / "excluded" / f"{unit:06d}.json"

    def reading(self, unit: int) -> Path:
        """Holds the name of the file that is being read, to be blamed where the process dies."""
        return self.work / "reading" / f"{unit:06d}"


@dataclass(frozen=True)
class Stage:
    """`first` is the global step whose decision is applied, `last` the one that collects after the `steps`."""

    first: GlobalStep | None
    steps: tuple[Step, ...]
    last: GlobalStep | None


def stages(steps: Iterable[AnyStep]) -> list[Stage]:
    """The steps cut at the global ones."""
    found: list[Stage] = []
    first: GlobalStep | None = None
    local: list[Step] = []
    for step in steps:
        if is_global(step):
            found.append(Stage(first, tuple(local), step))
            first, local = step, []
        else:
            local.append(step)  # pyright: ignore[reportArgumentType]
    return [*found, Stage(first, tuple(local), None)]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(values), encoding="utf-8")
    temporary.replace(path)
