"""unit of work ─draft→ run ─rename→ its folder: there whole or not at all; a kill costs the units under way

WORK/00/000003/             what unit 3 made, and done.json: fingerprint, the size of each file, a few values
WORK/00/000003.~5f21c9/     being made
WORK/00/000003.error.json   why it could not be made, told by a process elsewhere

Units share nothing but the file system, so it does not matter which process of which machine makes one, nor whether
two make the same: what they make is the same, and one rename wins.
"""

from __future__ import annotations

import errno
import json
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from packtrain.errors import Failure, UserError

MARKER = "done.json"
Tick = Callable[[int], None]  # told the characters of each document: a sign of life


class Unreadable(Failure):
    """A file that the machine could not read: worth another try, then skipped or the end, as the rule says."""


@dataclass
class Draft:
    """Where a unit is being made, and the `values` that its marker will hold."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """The folder of all units of one kind. A unit counts only where its marker has the same `fingerprint`."""

    folder: Path
    fingerprint: str

    def unit(self, number: int) -> Path:
        return self.folder / f"{number:06d}"

    def values(self, number: int, gone: Set[str] = frozenset()) -> dict[str, Any] | None:
        """What the marker holds; None where the unit is not finished. Files in `gone` have served and may be away."""
        folder = self.unit(number)
        try:
            marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            if marker["fingerprint"] != self.fingerprint:
                return None
            for name, size in marker["files"].items():
                if name not in gone and (folder / name).stat().st_size != size:
                    return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return {"files": marker["files"], **marker["values"]}

    @contextmanager
    def draft(self, number: int) -> Iterator[Draft]:
        """A folder to make unit `number` in; it is published at the end, or removed where something is raised."""
        path = self.folder / f"{number:06d}.~{uuid.uuid4().hex[:12]}"
        path.mkdir(parents=True)
        draft = Draft(path)
        try:
            yield draft
            found = sorted(p for p in path.rglob("*") if p.is_file())
            files = {p.relative_to(path).as_posix(): p.stat().st_size for p in found}
            marker = {"fingerprint": self.fingerprint, "files": files, "values": draft.values}
            (path / MARKER).write_text(json.dumps(marker), encoding="utf-8")
            self._publish(number, path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _publish(self, number: int, path: Path) -> None:
        target = self.unit(number)
        if target.exists() and self.values(number) is None:  # of other settings, or damaged
            shutil.rmtree(target)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise  # else: another process was faster, with the same bytes

    def error_file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.error.json"

    def clear(self) -> None:
        """Removes what killed processes left half made, and the errors of the last try."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.~*"):
            shutil.rmtree(left, ignore_errors=True)
        for told in self.folder.glob("*.error.json"):
            told.unlink()


class Work(Protocol):
    """Units of one kind, numbered from 0. Sent to other processes: plain values only.

    run        makes the unit, through `place.draft`. Raises `Unreadable` for what may go well the next time
    finished   whether it is made and, as far as it is still needed, there; unless said otherwise: by its marker
    describe   the unit, for a message: which files it is about
    leave_out  gives up what the unit stumbled over, for `reason`, and counts it; False where nothing can be left out,
               as in most
    """

    @property
    def place(self) -> Place: ...

    def run(self, unit: int, tick: Tick) -> None: ...

    def finished(self, unit: int) -> bool:
        return self.place.values(unit) is not None

    def describe(self, unit: int) -> str: ...

    def leave_out(self, unit: int, reason: str) -> bool:
        return False


def attempt(work: Work, unit: int, tick: Tick) -> None:
    """Makes a unit in a process that nobody watches: what goes wrong is written down beside it, nothing is raised."""
    if work.finished(unit):
        return
    try:
        work.run(unit, tick)
    except Exception as error:
        tell_error(work, unit, error)


def tell_error(work: Work, unit: int, error: Exception) -> None:
    """Writes the error down beside the unit, for `told_error`."""
    known = next((kind for kind in (Unreadable, UserError, Failure, OSError) if isinstance(error, kind)), None)
    told: dict[str, Any] = {"kind": known.__name__ if known else "", "message": str(error)}
    if isinstance(error, OSError):
        told |= {"errno": error.errno, "strerror": error.strerror, "file": str(error.filename or "")}
    if known is None:
        told["message"] = "".join(traceback.format_exception(error))
    path = work.place.error_file(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told), encoding="utf-8")


def told_error(work: Work, unit: int) -> Exception | None:
    """The error that `attempt` wrote down, to be raised here."""
    try:
        told = json.loads(work.place.error_file(unit).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if told["kind"] == "OSError":
        return OSError(told["errno"], told["strerror"] or told["message"], told["file"] or None)
    kinds = {"Unreadable": Unreadable, "UserError": UserError, "Failure": Failure}
    return kinds.get(told["kind"], RuntimeError)(told["message"])
