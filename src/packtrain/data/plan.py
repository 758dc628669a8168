"""a domain's steps, cut at the global ones, over units of files: Plan → Stage × unit → Outcome, and where files lie

DIR/.spool/00/000003-00000.jsonl.zst    what stage 0 leaves of unit 3 for stage 1; 000003.npy what it contributes
DIR/.spool/00.npy                       the decision between stages 0 and 1
DIR/.spool/unit-000003/                 what the last stage writes; it is moved to DIR at the end
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from packtrain.data.domain import Domain, Source
from packtrain.data.domains.registry import find
from packtrain.data.report import Report
from packtrain.data.splits import FEW
from packtrain.data.statistics import RAW_SAMPLES, DropSamples, Statistics
from packtrain.data.step import AnyStep, GlobalStep, Skips, Step, Tally, is_global

SPOOL = ".spool"
DROPPED = "dropped"


@dataclass(frozen=True)
class Plan:
    """What a worker must know of the whole; plain values, so that it can be sent to another process.

    units: the files of each unit with their names.
    """

    name: str
    parameters: Any
    units: tuple[tuple[tuple[Source, str], ...], ...]
    folder: Path
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


@dataclass(frozen=True)
class Stage:
    """`first` is the global step whose decision is applied, `last` the one that collects after the `steps`."""

    first: GlobalStep | None
    steps: tuple[Step, ...]
    last: GlobalStep | None


@dataclass
class Outcome:
    """What one unit gave in one stage."""

    tallies: list[Tally] = field(default_factory=list)
    skips: Skips = field(default_factory=Skips)
    before: Statistics = field(default_factory=lambda: Statistics(RAW_SAMPLES))
    after: Statistics = field(default_factory=lambda: Statistics(RAW_SAMPLES))
    lost: DropSamples = field(default_factory=DropSamples)
    splits: Report = field(default_factory=Report)
    own_splits: dict[str, str] = field(default_factory=dict)  # of the first FEW that say their split

    def merge(self, other: Outcome) -> None:
        if not self.tallies:
            self.tallies = [Tally(tally.name) for tally in other.tallies]
        for mine, theirs in zip(self.tallies, other.tallies, strict=True):
            mine.merge(theirs)
        self.skips.merge(other.skips)
        self.before.merge(other.before)
        self.after.merge(other.after)
        self.lost.merge(other.lost)
        self.splits.merge(other.splits)
        self.own_splits.update(islice(other.own_splits.items(), FEW))


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


def spool_file(folder: Path, stage: int, unit: int) -> Path:
    """Where a stage leaves the documents of a unit for the next."""
    return folder / SPOOL / f"{stage:02d}" / f"{unit:06d}-00000.jsonl.zst"


def part_file(folder: Path, stage: int, unit: int) -> Path:
    return folder / SPOOL / f"{stage:02d}" / f"{unit:06d}.npy"


def decision_file(folder: Path, stage: int) -> Path:
    return folder / SPOOL / f"{stage:02d}.npy"


def written(folder: Path, unit: int) -> Path:
    """Where the last stage leaves train-*, held_out-* and dropped-* of a unit."""
    return folder / SPOOL / f"unit-{unit:06d}"
