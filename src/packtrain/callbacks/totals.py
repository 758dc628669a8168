"""what a run has cost so far, kills included → totals.json in its folder, by rename, at every logged row

A checkpoint forgets what came after it; the hours and the joules of work that a kill undid were spent all the same.
"""

from __future__ import annotations

import json
from pathlib import Path

TOTALS = "totals.json"


def read_totals(run_dir: str | Path) -> dict[str, float]:
    """What is known of first_start (seconds of the epoch), starts, wall_seconds, device_seconds, joules."""
    try:
        found = json.loads((Path(run_dir) / TOTALS).read_text())
        return {key: float(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def update_totals(run_dir: str | Path, **values: float) -> None:
    """The file with these values in place of the old. Without a run folder nothing is written."""
    folder = Path(run_dir)
    if not str(run_dir) or not folder.is_dir():
        return
    temporary = folder / (TOTALS + ".tmp")
    temporary.write_text(json.dumps({**read_totals(folder), **values}, indent=1) + "\n")
    temporary.replace(folder / TOTALS)
