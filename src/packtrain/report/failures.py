"""a sweep's member that failed → runs/NAME/failures.json, until it succeeds → one sentence in the sweep's report

A member may fail before it has a folder, so what it said is kept beside the members' folders.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FAILURES = "failures.json"


def note_member(run_dir: str | Path, code: int, line: str = "") -> None:
    """How the member that trains in `run_dir` ended; 0 takes an earlier failure back. Never raises: a sweep goes on."""
    place = Path(run_dir)
    path, found = place.parent / FAILURES, read_failures(place.parent)
    if code == 0 and place.name not in found:
        return
    found.pop(place.name, None)
    if code:
        found[place.name] = line or f"exit code {code}"
    try:
        if not found:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(FAILURES + ".tmp")
        temporary.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return


def read_failures(folder: Path) -> dict[str, str]:
    """Member → what it said as it failed; empty where none did, or the file cannot be read."""
    try:
        found: Any = json.loads((folder / FAILURES).read_text(encoding="utf-8"))
        return {str(name): str(line) for name, line in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
