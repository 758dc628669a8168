"""folders of prepared documents → their report.json files, one a domain, read as far as they go"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packtrain.errors import UserError

REPORT = "report.json"


def find(folders: Iterable[str]) -> list[tuple[Path, dict[str, Any]]]:
    """(folder, report) for each folder that `packtrain prepare` made at or below `folders`.

    Raises `UserError` where there is none, or one that cannot be read.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    for name in folders:
        folder = Path(name)
        if not folder.exists():
            raise UserError(f"documents={name}: no such folder")
        here = [path for path in sorted(folder.rglob(REPORT)) if not _hidden(path.relative_to(folder))]
        if not here:
            raise UserError(
                f"documents={name}: no {REPORT} here; make documents with: packtrain prepare domain=… output={name}"
            )
        found += [(path.parent, _read(path)) for path in here]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and isinstance(values["kept"], int) and "domain" in values:
            return values
    except (OSError, ValueError, KeyError):
        pass
    raise UserError(f"{path}: is not a report of packtrain prepare; make the documents again with overwrite=true")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
