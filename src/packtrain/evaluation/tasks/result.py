"""TaskResults → the record (JSON), and a table beside the paper's 7B–65B"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packtrain.errors import Failure, UserError
from packtrain.evaluation.tasks.spec import MODELS, TaskSpec
from packtrain.report.tables import DASH, text_table

HEADERS = ("task", "figure", "shots", "n", "this model", "± s.e.", *MODELS)


def read(output: Path) -> dict[str, Any] | None:
    """The record at `output`, None where nothing is. Raises `UserError` for a file that is something else."""
    if not output.exists():
        return None
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
        if {"made_from", "tasks"} <= found.keys():
            return found
    except (OSError, ValueError, AttributeError):
        pass
    raise UserError(f"{output} exists and holds no results of tasks; give another output=, or overwrite=true")


def check_writable(output: Path) -> None:
    """Raises `UserError` where `write` would fail later: said before anything is asked. Nothing is made."""
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"output={output} cannot be written: {folder} is no folder that you may write to")


def write(output: Path, record: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    temporary = output.with_name(output.name + ".tmp")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(temporary, output)
    except OSError as error:
        raise Failure(f"could not write {output}: {error.strerror or error}") from error


def table(tasks: Mapping[str, Mapping[str, Any]], specs: Mapping[str, TaskSpec]) -> str:
    """The metric of every task, and each figure that the paper has too. `tasks`: key → record."""
    rows = []
    for key, found in tasks.items():
        spec = specs.get(key.partition("@")[0])
        scale = spec.scale if spec else 100.0
        known = {figure.partition("@")[0] for figure in spec.paper} if spec else set()
        digits = 1 if scale == 100.0 else 3
        for name, figure in found["figures"].items():
            paper = published(spec, name, found["shots"])
            if name not in (found["metric"], *known):
                continue
            rows.append((
                found["name"].partition("@")[0], name, str(found["shots"]), str(figure["n"]),
                shown(figure["value"], scale, digits), shown(figure["stderr"], scale, digits),
                *(shown(paper.get(model), 1.0, digits) for model in MODELS),
            ))  # fmt: skip
    return text_table(HEADERS, rows, left=(0, 1))


def published(spec: TaskSpec | None, figure: str, shots: int) -> dict[str, float]:
    """The paper's values of `figure` at `shots`; none where it has none."""
    if spec is None:
        return {}
    return spec.paper.get(f"{figure}@{shots}" if shots else figure, {})


def shown(value: float | None, scale: float, digits: int) -> str:
    return DASH if value is None else f"{value * scale:.{digits}f}"
