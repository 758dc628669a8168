"""items as they are done → a file of JSON lines per task and rank → what is there when the work goes on

OUTPUT.part/nq_open@5.0.jsonl     {"identity": …}, then {"index": 17, "cut": 0, "kept": {…}} for each item
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packtrain.errors import Failure

Line = dict[str, Any]


class Spool:
    """The items of one task that are done. identity: of all that they depend on; lines of another one do not count."""

    def __init__(self, folder: Path, key: str, identity: str, rank: int = 0) -> None:
        self.folder, self.key, self.identity = folder, key, identity
        self.path = folder / f"{key}.{rank}.jsonl"

    def done(self) -> dict[int, Line]:
        """index → line, of every rank that there has been; a torn last line is not one."""
        found: dict[int, Line] = {}
        for path in sorted(self.folder.glob(f"{self.key}.*.jsonl")):
            found |= {line["index"]: line for line in self._lines(path)}
        return found

    def append(self, lines: Iterable[Line]) -> None:
        """Written and closed: a kill costs what was being computed, nothing else."""
        try:
            if not self._mine():
                self.folder.mkdir(parents=True, exist_ok=True)
                self.path.write_text(json.dumps({"identity": self.identity}) + "\n", encoding="utf-8")
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise Failure(f"could not write {self.path}: {error.strerror or error}") from error

    def _mine(self) -> bool:
        """Whether the file is there, of this identity, and ends with a whole line: a torn one is taken off."""
        if not self.path.is_file() or self._identity(self.path) != self.identity:
            return False
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with open(self.path, "r+b") as file:
                file.truncate(whole)
        return True

    def _identity(self, path: Path) -> str | None:
        with open(path, encoding="utf-8", errors="replace") as file:
            return (_parsed(file.readline()) or {}).get("identity")

    def _lines(self, path: Path) -> list[Line]:
        if self._identity(path) != self.identity:
            return []
        lines = map(_parsed, path.read_text(encoding="utf-8", errors="replace").split("\n")[1:])
        return [line for line in lines if line and "index" in line]


def discard(folder: Path) -> None:
    """When all is in the output."""
    shutil.rmtree(folder, ignore_errors=True)


def _parsed(text: str) -> Line | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
