"""script → sbatch → job number → LOGS/<job>.sh and <job>.json, which `packtrain jobs` reads"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packtrain.errors import Failure, UserError
from packtrain.launch.member import Member
from packtrain.launch.slurm_queue import Task

FOLDER = "slurm"  # in a run's folder, or in that of a sweep


@dataclass(frozen=True)
class Submission:
    """One array as it was submitted; `run_dirs[i]` belongs to array task i. Paths are absolute."""

    job: int
    run_dirs: tuple[str, ...]
    logs: str
    submitted_at: str

    def log(self, index: int) -> Path:
        return Path(self.logs) / f"{self.job}_{index}.log"


def logs_folder(members: Sequence[Member], runs_dir: str) -> Path:
    """runs/NAME/slurm, for a sweep too; runs/slurm where members have nothing else in common."""
    inside = os.path.commonpath([os.path.abspath(member.run_dir) for member in members])
    root = os.path.abspath(runs_dir)
    return Path(inside if inside.startswith(root) else root) / FOLDER


def submit(script: str, members: Sequence[Member], logs: Path) -> Submission:
    """Raises `UserError` where there is no sbatch, `Failure` with its own words where it refuses."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine: submit from the cluster's login node, show the script with "
            "hydra.launcher.dry_run=true, or train here with cluster=local"
        )
    logs.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["sbatch", "--parsable"], input=os.fsencode(script), capture_output=True)
    out, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    match = re.match(r"(\d+)", out)
    if done.returncode or match is None:
        said = " ".join((errors or out).replace("sbatch: error:", "").split())
        raise Failure(f"sbatch refused the job: {said}; nothing was submitted")
    job = int(match[1])
    run_dirs = tuple(os.path.abspath(member.run_dir) for member in members)
    record = Submission(job, run_dirs, str(logs), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    (logs / f"{job}.sh").write_bytes(os.fsencode(script))
    temporary = logs / f"{job}.json.tmp"
    temporary.write_text(json.dumps(asdict(record), indent=1) + "\n")
    temporary.replace(logs / f"{job}.json")
    return record


def refuse_twice(
    members: Sequence[Member],
    earlier: Iterable[Submission],
    ask: Callable[[Iterable[int]], Mapping[tuple[int, int], Task]],
) -> None:
    """Raises `UserError` where a run already waits in the queue or trains: the second job could only fail."""
    places = {run_dir: (one.job, index) for one in earlier for index, run_dir in enumerate(one.run_dirs)}
    queue = ask(sorted({job for job, _ in places.values()}))
    for member in members:
        place = places.get(os.path.abspath(member.run_dir))
        task = queue.get(place) if place else None
        if place and task and task.alive:
            raise UserError(
                f"{member.run_dir} is job {place[0]}_{place[1]} already ({task.state.lower()}): wait for it, "
                f"scancel {place[0]}_{place[1]}, or give this run another name="
            )


def submissions(runs_dir: Path) -> Iterator[Submission]:
    """Every record below `runs_dir`, oldest first; one that cannot be read is passed over."""
    files = [*runs_dir.glob(f"{FOLDER}/*.json"), *runs_dir.glob(f"*/{FOLDER}/*.json")]
    files += runs_dir.glob(f"*/*/{FOLDER}/*.json")
    found = [record for record in map(_read, files) if record is not None]
    yield from sorted(found, key=lambda record: record.job)


def _read(path: Path) -> Submission | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        return Submission(int(values["job"]), tuple(values["run_dirs"]), values["logs"], values["submitted_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
