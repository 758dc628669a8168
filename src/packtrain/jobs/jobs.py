"""run folders + what was submitted + squeue (else sacct) → one line a run: state, step, loss, tokens/s, time left"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packtrain.errors import UserError, did_you_mean
from packtrain.jobs.runs import columns
from packtrain.launch import slurm_queue
from packtrain.launch.slurm_submit import submissions
from packtrain.report.reading import RunData, read_run

LOCK = ".lock"  # lock.py holds it while a process trains


@dataclass(frozen=True)
class JobsJob:
    runs: tuple[str, ...] = ()
    runs_dir: str = "runs"
    every: float | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.every is not None and self.every <= 0:
            raise UserError(f"every={self.every:g}: expected seconds, e.g. every=10, or null")


@dataclass(frozen=True)
class JobLine:
    """One run. `state` is SLURM's word in small letters where it knows the run, else finished, running, stopped, empty
    or broken. `left` is what training still takes at its last speed, `limit` what the job may still run."""

    name: str
    state: str
    job: str | None
    step: int | None
    steps: int | None
    train_loss: float | None
    tokens_per_second: float | None
    left_seconds: float | None
    limit: str
    where: str


def run(job: JobsJob) -> None:
    """Prints the table, with `every` until nothing waits or trains any more. Raises `UserError` for unknown names."""
    while True:
        lines = job_lines(Path(job.runs_dir), job.runs)
        if job.format == "json":
            print(json.dumps([asdict(line) for line in lines], indent=2), flush=True)
        else:
            print(as_table(lines) if lines else f"no runs in {job.runs_dir}; train one: packtrain train", flush=True)
        if job.every is None or not any(line.state in ("pending", "running", "completing") for line in lines):
            return
        time.sleep(job.every)


def job_lines(runs_dir: Path, names: tuple[str, ...] = ()) -> list[JobLine]:
    """Every run below `runs_dir` and everything submitted for it, started or not; `names` chooses among them."""
    submitted: dict[Path, tuple[int, int]] = {}
    for one in submissions(runs_dir):  # the newest of a run wins
        submitted.update({Path(folder): (one.job, index) for index, folder in enumerate(one.run_dirs)})
    tasks = slurm_queue.tasks({job for job, _ in submitted.values()})
    started = {path.parent.resolve() for depth in ("*", "*/*") for path in runs_dir.glob(f"{depth}/config.yaml")}
    root = runs_dir.resolve()
    folders = sorted({folder for folder in {*submitted, *started} if folder.is_relative_to(root)})
    known = {str(folder.relative_to(root)): folder for folder in folders}
    for name in names:
        if not any(full == name or full.startswith(f"{name.rstrip('/')}/") for full in known):
            sweeps = {full.split("/")[0] for full in known}
            hint = did_you_mean(name, sweeps) if sweeps else "; there are no runs"
            raise UserError(f"no run '{name}' in {runs_dir}{hint}")
    chosen = {
        full: folder
        for full, folder in known.items()
        if not names or any(full == name or full.startswith(f"{name.rstrip('/')}/") for name in names)
    }
    return [describe(full, folder, submitted.get(folder), tasks) for full, folder in chosen.items()]


def describe(
    name: str, folder: Path, place: tuple[int, int] | None, tasks: Mapping[tuple[int, int], slurm_queue.Task]
) -> JobLine:
    task = tasks.get(place) if place else None
    data, state = None, "empty"
    try:
        data = read_run(folder) if (folder / "config.yaml").is_file() else None
    except UserError:
        state = "broken"
    last: dict[str, float] = {}
    for row in data.metrics if data else []:
        last.update(row)
    if data is not None:
        state = "finished" if data.summary.get("finished") else "running" if held(folder) else "stopped"
    if state != "finished" and task is not None:
        state = task.state.lower() if task.state != "COMPLETED" else state
    elif place and state == "empty":
        state = "gone"  # submitted, never started, and SLURM knows it no more
    step = _whole(last.get("step")) if data is None else _whole(data.summary.get("step", last.get("step")))
    steps, batch = total_steps(data)
    speed = last.get("throughput/tokens_per_second")
    left = (steps - (step or 0)) * batch / speed if state == "running" and steps and batch and speed else None
    return JobLine(
        name, state, f"{place[0]}_{place[1]}" if place else None, step, steps, last.get("train/loss"), speed, left,
        task.left if task else "", task.where if task and task.alive else "",
    )  # fmt: skip


def total_steps(data: RunData | None) -> tuple[int | None, int | None]:
    """Steps of the whole run and tokens of one, as its config.yaml says."""
    settings: Any = data.config.get("data") if data else None
    try:
        batch = int(settings["batch_tokens"])
        return -(-int(settings["tokens"]) // batch), batch
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None, None


def held(folder: Path) -> bool:
    """Whether a process of this machine, or of one that shares its locks, trains in the folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def as_table(lines: list[JobLine]) -> str:
    rows = [("name", "state", "job", "where", "step", "loss", "tokens/s", "left", "limit")]
    for line in lines:
        step = "" if line.step is None else f"{line.step:,}" + (f"/{line.steps:,}" if line.steps else "")
        loss = "" if line.train_loss is None else f"{line.train_loss:.4f}"
        speed = "" if line.tokens_per_second is None else f"{line.tokens_per_second:,.0f}"
        left = "" if line.left_seconds is None else clock(line.left_seconds)
        rows.append((line.name, line.state, line.job or "", line.where, step, loss, speed, left, line.limit))
    return columns(rows, left=4)


def clock(seconds: float) -> str:
    """3 days 4 h as `3d 04:00`, below a day as `4:05:06`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d {hour:02d}:{minute:02d}" if days else f"{hour}:{minute:02d}:{second:02d}"


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
