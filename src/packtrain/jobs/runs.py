"""runs/*/ → a table of runs;  compare=[a,b] → what differs;  delete=NAME → the folder gone, after a question"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packtrain.errors import UserError, did_you_mean
from packtrain.report.differences import differing
from packtrain.report.failures import note_member, read_failures
from packtrain.report.reading import RunData, find_runs, known_runs, read_run

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunsJob:
    runs_dir: str = "runs"
    compare: tuple[str, ...] = ()
    delete: str | None = None
    yes: bool = False
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.compare and self.delete:
            raise UserError("compare and delete: give one of them")
        if len(self.compare) == 1:
            raise UserError(f"compare=[{self.compare[0]}]: expected two names or more, e.g. compare=[first,second]")


@dataclass(frozen=True)
class RunLine:
    """One run of the list. `state`: finished, stopped (has checkpoints or figures), empty, broken (unreadable), or
    failed: a sweep's member that said so, with or without a folder."""

    name: str
    state: Literal["finished", "stopped", "empty", "broken", "failed"]
    step: int | None
    tokens: int | None
    train_loss: float | None
    size_mb: float
    energy_kwh: float | None = None
    co2eq_g: float | None = None
    said: str | None = None


def run(job: RunsJob) -> None:
    """Prints the list or the comparison, or deletes. Raises `UserError` for a name that is no run."""
    runs_dir = Path(job.runs_dir)
    if job.delete is not None:
        delete(runs_dir, job.delete, job.yes)
        return
    if job.compare:
        lines = [read_run(path) for path in find_runs(job.compare, runs_dir)]
        table = comparison(lines, runs_dir)
        print(json.dumps(table, indent=2) if job.format == "json" else as_columns(table, lines, runs_dir))
        return
    runs = list_runs(runs_dir)
    if job.format == "json":
        print(json.dumps([asdict(line) for line in runs], indent=2))
    else:
        print(as_table(runs) if runs else f"no runs in {runs_dir}; train one: packtrain train")
        for line in runs:
            if line.said is not None:
                print(f"{line.name} failed: {line.said}")


def list_runs(runs_dir: Path) -> list[RunLine]:
    """Every run below `runs_dir`, a sweep's members as NAME/member."""
    if not runs_dir.is_dir():
        return []
    folders: list[Path] = []
    failed: dict[Path, str] = {}
    for child in sorted(path for path in runs_dir.iterdir() if path.is_dir() and not path.name.startswith(".")):
        members = sorted(p for p in child.iterdir() if (p / "config.yaml").is_file())
        said = {child / name: line for name, line in read_failures(child).items()}
        failed |= said
        alone = (child / "config.yaml").is_file() or not (members or said)
        folders += ([child] if alone else []) + sorted({*members, *said})
    return [describe(folder, runs_dir, failed.get(folder)) for folder in folders]


def describe(folder: Path, runs_dir: Path, said: str | None = None) -> RunLine:
    """`said`: what a sweep's member said as it failed."""
    name, size_mb = str(folder.relative_to(runs_dir)), folder_bytes(folder) / 1e6
    if not (folder / "config.yaml").is_file():
        return RunLine(name, "empty" if said is None else "failed", None, None, None, size_mb, said=said)
    try:
        data = read_run(folder)
        last = figures(data)
    except UserError:  # still listed, so that it can be deleted
        return RunLine(name, "broken", None, None, None, size_mb, said=said)
    started = bool(data.metrics) or any((folder / CHECKPOINTS).glob("step-*"))
    state = "failed" if said is not None else "stopped" if started else "empty"
    state = "finished" if data.summary.get("finished") else state
    step, tokens = (None if last[key] is None else int(last[key]) for key in ("step", "tokens"))
    return RunLine(name, state, step, tokens, last["train loss"], size_mb, last["energy kWh"], last["CO2eq g"], said)


def figures(data: RunData) -> dict[str, Any]:
    """The last figures of a run: from its summary, else from its last row of metrics.csv, else None."""
    last: dict[str, float] = {}
    for row in data.metrics:
        last.update(row)
    summary = data.summary
    found: dict[str, Any] = {
        "step": summary.get("step", last.get("step")),
        "tokens": summary.get("tokens", last.get("tokens")),
        "train loss": summary.get("train_loss", last.get("train/loss")),
        "tokens per second": summary.get("tokens_per_second"),
        "energy kWh": summary.get("energy_kwh", last.get("carbon/energy_kwh")),
        "CO2eq g": summary.get("co2eq_g", last.get("carbon/co2eq_g")),
    }
    for domain, scores in (summary.get("validation") or {}).items():
        found[f"validation loss {domain}"] = scores.get("loss")
    return found


def comparison(runs: Sequence[RunData], runs_dir: Path) -> dict[str, dict[str, list[Any]]]:
    """{"settings": {key: a value for each run}, "figures": …}; of the settings only those that differ."""
    last = [figures(run) for run in runs]
    rows = dict.fromkeys(key for one in last for key in one)
    return {
        "runs": {"name": [display_name(run.path, runs_dir) for run in runs]},
        "settings": differing([run.config for run in runs]),
        "figures": {key: [one.get(key) for one in last] for key in rows},
    }


def delete(runs_dir: Path, name: str, yes: bool) -> None:
    """Remove the folder of a run, of a sweep's member or of a whole sweep. Asks, unless `yes`."""
    folder = (runs_dir / name).resolve()
    inside = folder != runs_dir.resolve() and folder.is_relative_to(runs_dir.resolve())
    known = [line.name for line in list_runs(runs_dir)]
    takes = {*known, *known_runs(runs_dir), *(line.split("/")[0] for line in known)}
    if not inside or name.rstrip("/") not in takes:
        hint = did_you_mean(name, known) if known else "; there are no runs"
        raise UserError(f"no run '{name}' in {runs_dir}{hint}")
    size = f"{folder_bytes(folder) / 1e6:,.1f} MB"
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"delete={name} asks before it removes {size}, and nobody can answer here; add yes=true")
        if input(f"delete {folder} ({size})? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing deleted")
            return
    if folder.is_dir():
        shutil.rmtree(folder)
    note_member(folder, 0)  # what a sweep's member said goes with it
    print(f"deleted {folder} ({size})")


def as_table(runs: Sequence[RunLine]) -> str:
    rows: list[Sequence[str]] = [("name", "state", "step", "tokens", "train loss", "kWh", "gCO2eq", "size")]
    for line in runs:
        loss = "" if line.train_loss is None else f"{line.train_loss:.4f}"
        count = ["" if n is None else f"{n:,}" for n in (line.step, line.tokens)]
        energy = ["" if figure is None else f"{figure:.3g}" for figure in (line.energy_kwh, line.co2eq_g)]
        rows.append((line.name, line.state, *count, loss, *energy, f"{line.size_mb:,.1f} MB"))
    if len(runs) > 1:
        rows.append(sum_of(runs))
    return columns(rows, left=2)


def sum_of(runs: Sequence[RunLine]) -> Sequence[str]:
    """The last line: tokens, energy and carbon of all runs, as far as they are known."""
    known = [line for line in runs if line.energy_kwh is not None]
    energy = [f"{sum(n or 0.0 for n in column):.3g}" if known else "" for column in (
        [line.energy_kwh for line in known], [line.co2eq_g for line in known]
    )]  # fmt: skip
    tokens, size = sum(line.tokens or 0 for line in runs), sum(line.size_mb for line in runs)
    return "all", f"{len(runs)} runs", "", f"{tokens:,}", "", *energy, f"{size:,.1f} MB"


def as_columns(table: Mapping[str, Mapping[str, list[Any]]], runs: Sequence[RunData], runs_dir: Path) -> str:
    """The comparison as text, a column for each run."""
    rows: list[Sequence[str]] = [("", *(display_name(run.path, runs_dir) for run in runs))]
    for title in ("settings", "figures"):
        rows.append((f"{title}{' that differ' if title == 'settings' else ''}", *("" for _ in runs)))
        rows += [(f"  {key}", *map(show, values)) for key, values in table[title].items()] or [("  none",)]
    return columns(rows, left=1)


def columns(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows as aligned text, the first `left` columns to the left, the others to the right."""
    count = max(len(row) for row in rows)
    full = [[*row, *[""] * (count - len(row))] for row in rows]
    wide = [max(len(row[i]) for row in full) for i in range(count)]
    lines = [
        "  ".join(f"{c:<{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, wide, strict=True)))
        for row in full
    ]
    return "\n".join(line.rstrip() for line in lines)


def show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def display_name(path: Path, runs_dir: Path) -> str:
    return str(path.relative_to(runs_dir)) if path.is_relative_to(runs_dir) else str(path)


def folder_bytes(folder: Path) -> int:
    """Size on disk of everything below `folder`; a file that vanishes meanwhile counts nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total
