"""a domain's steps, cut at the global ones, over units of files: Plan → Stage × unit, and where files lie

WORK/00/000003/            what stage 0 made of unit 3: outcome.json.zst, documents-00000.jsonl.zst for the next stage,
                           part.npy for the global step; of the last stage train-*, held_out-*; dropped-*/ beside them
WORK/00-merge/000000/      decision.npy, what the global step between stages 0 and 1 makes of all parts
WORK/excluded/000003.json  files of unit 3 that are left out, with the reason
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.data.domain import Domain, Source
from packtrain.data.domains.registry import find
from packtrain.data.step import AnyStep, GlobalStep, Step, is_global
from packtrain.data.units import Place

DROPPED = "dropped"
DOCUMENTS = "documents-00000.jsonl.zst"
PART = "part.npy"
DECISION = "decision.npy"


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

    @property
    def domain(self) -> Domain:
        domain = find(self.name)
        assert isinstance(domain, Domain)
        return domain

    @property
    def stages(self) -> list[Stage]:
        return stages(self.domain.steps(self.parameters))

    def place(self, stage: int) -> Place:
        """The units of a stage."""
        return Place(self.work / f"{stage:02d}", self.fingerprint)

    def merge_place(self, stage: int) -> Place:
        """The decision between `stage` and the next."""
        return Place(self.work / f"{stage:02d}-merge", self.fingerprint)

    def decision(self, stage: int) -> Path:
        return self.merge_place(stage).unit(0) / DECISION

    def excluded(self, unit: int) -> dict[str, str]:
        """Names of the files of a unit that are left out, each with the reason."""
        path = self._excluded(unit)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def exclude(self, unit: int, name: str, reason: str) -> None:
        path = self._excluded(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self.excluded(unit), name: reason}), encoding="utf-8")
        temporary.replace(path)

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
