"""what one unit gave in one stage: counts, skips, samples; merged over units, written down and read again as JSON"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard

from packtrain.data.report import Report
from packtrain.data.splits import FEW
from packtrain.data.statistics import RAW_SAMPLES, DropSamples, Statistics
from packtrain.data.step import Skips, Tally

FILE = "outcome.json.zst"


@dataclass
class Outcome:
    """What one unit gave in one stage, or several units together."""

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

    def save(self, folder: Path) -> None:
        values = {
            "tallies": [_tally_values(tally) for tally in self.tallies],
            "skips": vars(self.skips),
            "before": vars(self.before),
            "after": vars(self.after),
            "lost": [[*key, vars(statistics)] for key, statistics in self.lost.known.items()],
            "splits": vars(self.splits),
            "own_splits": self.own_splits,
        }
        (folder / FILE).write_bytes(zstandard.compress(json.dumps(values).encode(), 3))

    @classmethod
    def load(cls, folder: Path) -> Outcome:
        values = json.loads(zstandard.decompress((folder / FILE).read_bytes()))
        report = values["splits"]
        splits = {name: Counter(counts) for name, counts in report["splits"].items()}
        return cls(
            [_tally(tally) for tally in values["tallies"]],
            Skips(values["skips"]["file"], Counter(values["skips"]["counts"]), values["skips"]["first"]),
            _statistics(values["before"]),
            _statistics(values["after"]),
            DropSamples(known={(step, reason): _statistics(seen) for step, reason, seen in values["lost"]}),
            Report(Counter(report["dropped"]), Counter(report["cut"]), splits),
            values["own_splits"],
        )


def _tally_values(tally: Tally) -> dict[str, Any]:
    """All but the sink, which stays in the process that counted."""
    return {key: getattr(tally, key) for key in ("name", "kept", "changed", "dropped", "removed")}


def _tally(values: dict[str, Any]) -> Tally:
    return Tally(
        values["name"], values["kept"], values["changed"], Counter(values["dropped"]), Counter(values["removed"])
    )


def _statistics(values: dict[str, Any]) -> Statistics:
    counters = {key: Counter(values[key]) for key in ("languages", "licences")}
    lengths = Counter({int(length): count for length, count in values["lengths"].items()})
    sample = [(rank, shown) for rank, shown in values["sample"]]
    return Statistics(**{**values, **counters, "lengths": lengths, "sample": sample})
