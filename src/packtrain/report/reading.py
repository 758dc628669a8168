"""run folder → config.yaml, metrics.csv (else events), summary.json, evaluation.json, … → RunData, with what is missing

A run that is still going, or was never evaluated, is read as far as it goes: what is absent is named, not crashed on.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from packtrain.errors import UserError, did_you_mean
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.report.event_files import breaks_off, event_files, read_scalars
from packtrain.report.failures import read_failures
from packtrain.report.shapes import check_shape
from packtrain.settings import build

VALIDATION_LOSS = re.compile(r"^val(?:idation)?/(?:loss/(?P<last>[^/]+)|(?P<middle>[^/]+)/loss)$")
REMEDIES = {
    "metrics.csv": "no step was logged yet",
    "summary.json": "training has not finished",
    "evaluation.json": "packtrain evaluate checkpoint={path}",
    "sample.txt": "packtrain generate checkpoint={path} output={path}/sample.txt",
}


@dataclass(frozen=True)
class RunData:
    """One run as read. `metrics` are the rows of metrics.csv, or of the event files where there is none, empty cells
    left out; `missing` are whole sentences.
    """

    path: Path
    config: dict[str, Any]
    metrics: list[dict[str, float]]
    summary: dict[str, Any]
    evaluation: dict[str, Any]
    sample: str | None
    missing: tuple[str, ...]
    ledger: dict[str, Any] = field(default_factory=dict)
    spikes: tuple[dict[str, Any], ...] = ()
    starts: tuple[dict[str, Any], ...] = ()  # each process that trained: when, from which step, with which versions

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parameters(self) -> int | None:
        """Of the finished run, else of its configuration; None where neither says it."""
        if self.summary.get("parameters"):
            return int(self.summary["parameters"])
        try:
            return parameter_count(build(ModelConfig, self.config["model"], "model"))
        except (UserError, KeyError, TypeError):
            return None

    def last(self, column: str) -> float | None:
        """The last figure of a column, of a run that may still be going."""
        return next((row[column] for row in reversed(self.metrics) if column in row), None)

    def curve(self, column: str) -> list[tuple[float, float]]:
        """(tokens, value) of one column, in the order of the file; what is no number (a diverged loss) is left out."""
        return [
            (row["tokens"], row[column])
            for row in self.metrics
            if "tokens" in row and math.isfinite(row.get(column, math.nan))
        ]

    def held_out_curves(self) -> dict[str, list[tuple[float, float]]]:
        """domain → its held-out loss against tokens."""
        columns = dict.fromkeys(column for row in self.metrics for column in row)
        found = {column: VALIDATION_LOSS.match(column) for column in columns}
        return {(m["last"] or m["middle"]): self.curve(column) for column, m in found.items() if m}


def find_runs(names: Iterable[str], runs_dir: str | Path) -> list[Path]:
    """The run folders meant by `names`: paths, or names under `runs_dir`; a sweep's folder stands for its members.

    Raises `UserError` for what is no run, naming the nearest that is, and for a sweep whose every member failed.
    """
    return [run for name in names for run in _find(name, Path(runs_dir))]


def known_runs(runs_dir: Path) -> list[str]:
    """Names under `runs_dir` that `find_runs` takes."""
    if not runs_dir.is_dir():
        return []
    return sorted(child.name for child in runs_dir.iterdir() if child.is_dir() and (_is_run(child) or _members(child)))


def read_run(path: Path) -> RunData:
    """Everything the folder `path` holds. Raises `UserError` where it is no run or a file of it cannot be read."""
    if not _is_run(path):
        raise UserError(f"{path} is not a run folder: it has no config.yaml; give a folder that packtrain train wrote")
    here = {name: path / name for name in REMEDIES}
    missing = [_said(name, path) for name in REMEDIES if not here[name].is_file()]
    summary, evaluation = _mapping(here["summary.json"]), _mapping(here["evaluation.json"])
    scored, last = evaluation.get("step"), summary.get("step")
    if scored is not None and scored != last:
        of = f", training ended at step {last}" if last is not None else ""
        missing.append(
            f"the held-out figures are those of step {scored}{of}: {REMEDIES['evaluation.json'].format(path=path)}"
        )
    metrics, sentences = _metrics(path, bool(summary))
    missing = [line for line in missing if not metrics or line != _said("metrics.csv", path)] + sentences
    if metrics and not summary:
        missing[missing.index(_said("summary.json", path))] = (
            f"training has not finished: step {metrics[-1].get('step', 0):,.0f}, "
            f"{metrics[-1].get('tokens', 0):,.0f} tokens so far"
        )
    spikes, broken = _spikes(path)
    starts = _mapping(path / "versions.json").get("starts") or ()
    return RunData(
        path=path,
        config=_mapping(path / "config.yaml"),
        metrics=metrics,
        summary=summary,
        evaluation=evaluation,
        sample=here["sample.txt"].read_text(encoding="utf-8", errors="replace")
        if here["sample.txt"].is_file()
        else None,
        missing=(*missing, *broken),
        ledger=_mapping(path / "ledger.json"),
        spikes=spikes,
        starts=tuple(start for start in starts if isinstance(start, dict)),
    )


def _said(name: str, path: Path) -> str:
    return f"no {name}: {REMEDIES[name].format(path=path)}"


def _metrics(path: Path, finished: bool) -> tuple[list[dict[str, float]], list[str]]:
    """The rows of metrics.csv; where it has none, those of TensorBoard's files, with a sentence that says so."""
    files = event_files(path)
    if (rows := _rows(path / "metrics.csv")) or not files:
        broken = [file.name for file in files if finished and breaks_off(file)]
        return rows, [f"{name} is damaged: TensorBoard shows less than metrics.csv and this page" for name in broken]
    try:
        rows, sentences = read_scalars(path)
    except UserError as error:
        return [], [str(error)]
    return rows, ["the curves are those of TensorBoard's event files", *sentences]


def _spikes(path: Path) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    """Each spike's file, in the order of steps; a sentence for one that cannot be read."""
    found, broken = [], []
    for file in sorted((path / "spikes").glob("step-*.json")):
        try:
            found.append(_mapping(file))
        except UserError as error:
            broken.append(str(error))
    return tuple(found), broken


def _find(name: str, runs_dir: Path) -> list[Path]:
    for candidate in (Path(name), runs_dir / name):
        if _is_run(candidate):
            return [candidate]
        if members := _members(candidate):
            return members
        if failures := read_failures(candidate):
            member, line = next(iter(failures.items()))
            raise UserError(f"{candidate}: none of its members has begun; {member} said: {line}")
    if Path(name).is_dir():
        raise UserError(f"{name} is not a run folder: it has no config.yaml; give a folder that packtrain train wrote")
    known = known_runs(runs_dir)
    hint = did_you_mean(name, known) if known else "; train one first: packtrain train"
    raise UserError(f"no run '{name}' in {runs_dir}{hint}")


def _is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file()


def _members(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if _is_run(child)) if path.is_dir() else []


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be read ({reason}); delete it and run the command that wrote it again"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no settings; is {path.parent} a run folder of packtrain?")
    check_shape(found, path)
    return found


def _rows(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # the last line of a run that is writing may lack half a number
    rows = csv.DictReader(io.StringIO(whole, newline=""))
    return [{key: _number(cell) for key, cell in row.items() if _is_number(cell)} for row in rows]


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _number(cell: str) -> float:
    return float(cell)
