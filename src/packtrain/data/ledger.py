"""a mixture's weights + what is there of each domain → tokens, epochs and bytes per domain: the target and the realised

pack    realised = what was packed                  DIR/ledger.json
train   realised = counted from the batches drawn   runs/NAME/ledger.json, TensorBoard

Epochs are tokens over the domain's packed training tokens. Bytes are UTF-8 text, at the domain's mean bytes a token
(exact over whole epochs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.data.manifest import Manifest, Split
from packtrain.data.mixture import normalise

LEDGER = "ledger.json"
HEAD = ("domain", "share", "target tokens", "realised", "target epochs", "realised", "target bytes", "realised")


@dataclass(frozen=True)
class Entry:
    """One domain: its `share` of the mixture, what is packed of it, and the tokens wanted and realised."""

    domain: str
    share: float
    packed_tokens: int
    packed_bytes: int
    target_tokens: float
    realised_tokens: int

    def epochs(self, tokens: float) -> float | None:
        """None where nothing is packed."""
        return tokens / self.packed_tokens if self.packed_tokens else None

    def bytes(self, tokens: float) -> int | None:
        return round(tokens * self.packed_bytes / self.packed_tokens) if self.packed_tokens else None

    def values(self) -> dict[str, Any]:
        return {
            "share": self.share,
            "packed_tokens": self.packed_tokens,
            "packed_bytes": self.packed_bytes,
            "target_tokens": round(self.target_tokens),
            "realised_tokens": self.realised_tokens,
            "target_epochs": self.epochs(self.target_tokens),
            "realised_epochs": self.epochs(self.realised_tokens),
            "target_bytes": self.bytes(self.target_tokens),
            "realised_bytes": self.bytes(self.realised_tokens),
        }

    def cells(self) -> tuple[str, ...]:
        target, real = self.target_tokens, self.realised_tokens
        epochs = ["-" if n is None else f"{n:.2f}" for n in (self.epochs(target), self.epochs(real))]
        sizes = ["-" if n is None else f"{n:,}" for n in (self.bytes(target), self.bytes(real))]
        return self.domain, f"{self.share:.1%}", f"{target:,.0f}", f"{real:,}", *epochs, *sizes


@dataclass(frozen=True)
class Ledger:
    """`tokens` is what the targets are reckoned for: the whole run's, the pack's, or those drawn up to now.

    `changes`: where the run's mixture or schedule becomes another, in order (`training/changes.py`).
    """

    tokens: int
    entries: tuple[Entry, ...]
    changes: tuple[Mapping[str, Any], ...] = ()

    def lines(self) -> list[str]:
        """A table for a terminal: a head, one line per domain, their sum."""
        rows = [HEAD, *(entry.cells() for entry in self.entries), self._sum()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        names = [row[0].ljust(widths[0]) for row in rows]
        numbers = [[c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)] for row in rows]
        return ["  ".join([name, *row]) for name, row in zip(names, numbers, strict=True)]

    def markdown(self) -> str:
        """The same for TensorBoard's text tab."""
        rows = [HEAD, ("---",) + ("---:",) * (len(HEAD) - 1), *(entry.cells() for entry in self.entries), self._sum()]
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        return table + "".join(f"\n\n{json.dumps(dict(change))}" for change in self.changes)

    def _sum(self) -> tuple[str, ...]:
        share, target = sum(e.share for e in self.entries), sum(e.target_tokens for e in self.entries)
        target_bytes = sum(e.bytes(e.target_tokens) or 0 for e in self.entries)
        bytes_ = sum(e.bytes(e.realised_tokens) or 0 for e in self.entries)
        realised = sum(e.realised_tokens for e in self.entries)
        return "all", f"{share:.1%}", f"{target:,.0f}", f"{realised:,}", "", "", f"{target_bytes:,}", f"{bytes_:,}"

    def text(self) -> str:
        values: dict[str, Any] = {"tokens": self.tokens}
        values["domains"] = {entry.domain: entry.values() for entry in self.entries}
        if self.changes:
            values["changes"] = [dict(change) for change in self.changes]
        return json.dumps(values, indent=1) + "\n"

    def stands_in(self, path: Path) -> bool:
        """Whether `path` holds this very ledger already."""
        return path.is_file() and path.read_text(encoding="utf-8", errors="replace") == self.text()

    def write(self, path: Path) -> None:
        """As JSON, by rename."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(self.text(), encoding="utf-8")
        temporary.replace(path)


def reckon(manifest: Manifest, shares: Mapping[str, float], tokens: int, realised: Mapping[str, int]) -> Ledger:
    """The ledger of `tokens` tokens drawn by `shares` (summing to one); a domain missing from `realised` has none."""
    entries = []
    for domain, share in shares.items():
        split = manifest.domains[domain].train if domain in manifest.domains else Split()
        entries.append(Entry(domain, share, split.tokens, split.bytes, share * tokens, realised.get(domain, 0)))
    return Ledger(tokens, tuple(entries))


def of_pack(manifest: Manifest, weights: Mapping[str, float], tokens: int | None) -> Ledger:
    """What is packed beside what `weights` (none: by size) want of a run of `tokens` (None: as many as are packed)."""
    packed = {name: domain.train.tokens for name, domain in manifest.domains.items()}
    shares = normalise(weights or packed, lambda _: None) if any((weights or packed).values()) else {}
    return reckon(manifest, shares, tokens or sum(packed.get(name, 0) for name in shares), packed)


def remarks(manifest: Manifest, weights: Mapping[str, float]) -> Sequence[str]:
    """What the user should know: domains that the mixture wants and the pack lacks, and the other way round."""
    if not weights:
        return ()
    said = []
    for name in (name for name, weight in weights.items() if weight > 0):
        if name not in manifest.domains or not manifest.domains[name].train.tokens:
            said.append(f"{name}: nothing packed; add its documents (packtrain prepare domain={name}), or train with "
                        f"data.weights.{name}=0")  # fmt: skip
    unread = [name for name in manifest.domains if not weights.get(name)]
    return (*said, f"not in the mixture, so never drawn: {', '.join(unread)}") if unread else said
