"""units that misbehave: a Work for the tests of executors, importable by their processes"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from packtrain.data.units import Place, Tick, Unreadable
from packtrain.errors import Failure


@dataclass(frozen=True)
class ToyWork:
    """Unit n writes n. `deeds`: unit → dies, hangs, unreadable, fails: each time, or with `once-…` the first time."""

    folder: Path
    deeds: tuple[tuple[int, str], ...] = ()

    @property
    def place(self) -> Place:
        return Place(self.folder / "toy", "toys")

    def finished(self, unit: int) -> bool:
        return self.place.values(unit) is not None

    def describe(self, unit: int) -> str:
        return f"toy {unit}"

    def leave_out(self, unit: int, reason: str) -> bool:
        (self.folder / f"left-out-{unit}").write_text(reason)
        return True

    def run(self, unit: int, tick: Tick) -> None:
        with (self.folder / f"tries-{unit}").open("a") as tries:
            tries.write("x")
        with self.place.draft(unit) as draft:
            (draft.path / "half").write_text("half")
            if not (self.folder / f"left-out-{unit}").exists():
                self._misbehave(unit)
            (draft.path / "half").rename(draft.path / "whole")
            (draft.path / "whole").write_text(str(unit))
        tick(1)

    def _misbehave(self, unit: int) -> None:
        deed = dict(self.deeds).get(unit, "")
        if deed.startswith("once-") and len((self.folder / f"tries-{unit}").read_text()) > 1:
            return
        if deed.endswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if deed.endswith("hangs"):
            time.sleep(600)
        if deed.endswith("unreadable"):
            raise Unreadable("a.txt cannot be read (Input/output error)")
        if deed.endswith("fails"):
            raise Failure("the toy is broken")
        if deed.endswith("full"):
            raise OSError(28, "No space left on device", "a.npy")
