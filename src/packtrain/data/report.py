"""every document that is read is either kept or dropped for a reason: the counts behind report.json"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from packtrain.data.documents import NO_SPLIT, Document


@dataclass
class Report:
    """read = kept + the sum of dropped, always. `cut` counts pieces removed from documents that were kept."""

    dropped: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    splits: dict[str, Counter[str]] = field(default_factory=dict)

    def keep(self, document: Document) -> None:
        counts = self.splits.setdefault(document.split or NO_SPLIT, Counter())
        counts.update(documents=1, characters=len(document.text), bytes=len(document.text.encode()))

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count

    def merge(self, other: Report) -> None:
        """Adds what was counted elsewhere."""
        self.dropped.update(other.dropped)
        self.cut.update(other.cut)
        for name, counts in other.splits.items():
            self.splits.setdefault(name, Counter()).update(counts)

    @property
    def kept(self) -> int:
        return sum(counts["documents"] for counts in self.splits.values())

    def values(self) -> dict[str, Any]:
        """The counts as they stand in report.json, sorted by name."""
        total: Counter[str] = Counter()
        for counts in self.splits.values():
            total.update(counts)
        return {
            "read": self.kept + sum(self.dropped.values()),
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "cut": dict(sorted(self.cut.items())),
            "characters": total["characters"],
            "bytes": total["bytes"],
            "splits": {name: dict(sorted(counts.items())) for name, counts in sorted(self.splits.items())},
        }
