"""a run that has ended → summary.json, by rename: its presence is what makes a run finished"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from packtrain.callbacks.meter import Meter

SUMMARY = "summary.json"


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """The summary of a finished run, None for any other."""
    try:
        summary = json.loads((run_dir / SUMMARY).read_text())
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and summary.get("finished") else None


def write_summary(run_dir: Path, trainer: Trainer, module: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """What the meters say at the end, and `facts`; returns it."""
    summary: dict[str, Any] = {
        "finished": True,
        "step": trainer.global_step,
        "tokens": trainer.global_step * module.steps.batch_tokens,
        **facts,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(callback, Meter):
            summary.update(callback.summarise(module))
    if not trainer.is_global_zero:
        return summary
    temporary = run_dir / (SUMMARY + ".tmp")
    temporary.write_text(json.dumps(summary, indent=1) + "\n")
    temporary.replace(run_dir / SUMMARY)
    return summary
