"""units → datatrove's SlurmPipelineExecutor → an array job, a unit a task → wait for its end

The command stays on the login node until all is made; stopped, it cancels its job. The nodes share the file system.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from tqdm import tqdm

from packtrain.data.complete import Rules
from packtrain.data.units import Work
from packtrain.errors import Failure, UserError

POLL_SECONDS = 1.0
SACCT_GRACE = 3  # so often a job that squeue does not know is asked for again before it counts as ended


@dataclass(frozen=True)
class SlurmExecutor:
    """The fields of the array job. time: of one unit, H:M:S. at_once: units at a time, null: as many as there is room.

    setup: a line of shell before the work, e.g. `module load python`. sbatch: further options, name: value.
    """

    engine: Literal["slurm"] = "slurm"
    partition: str | None = None
    time: str = "4:00:00"
    cpus_per_task: int = 1
    memory_gb: int = 4
    at_once: int | None = None
    qos: str | None = None
    max_array: int = 1001
    setup: str = "true"
    sbatch: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if shutil.which("sbatch") is None:
            raise UserError("executor=slurm: there is no sbatch on this machine; run it on the cluster's login node, "
                            "or here with executor=local")  # fmt: skip
        if find_spec("datatrove") is None:
            raise UserError("executor=slurm: datatrove is not installed; pip install 'packtrain[scale]'")
        for name in ("cpus_per_task", "memory_gb", "max_array"):
            if getattr(self, name) < 1:
                raise UserError(f"executor.{name}={getattr(self, name)}: expected at least 1")
        known = {name.rstrip("*") for name in _ask("sinfo", "--noheader", "--format=%P").split()}
        if self.partition is None or (known and self.partition not in known):
            listed = f"known: {', '.join(sorted(known))}" if known else "sinfo lists none (is the controller up?)"
            name = self.partition or "null"
            raise UserError(f"executor.partition={name}: this cluster has no such partition; {listed}")

    def run(
        self, work: Work, todo: Sequence[int], weights: Sequence[int], what: str, rules: Rules
    ) -> Mapping[int, str]:
        """As `complete.Executor` says."""
        from packtrain.data.executors.unit_step import UnitStep, logs_of, why

        logs = logs_of(work)
        jobs = self._submit(UnitStep(work, todo, rules.timeout), len(todo), str(logs))
        bar = tqdm(total=len(todo), desc=f"{what} (job {', '.join(jobs)})", unit=" units", delay=1, disable=None)
        ended = False
        try:
            with bar:
                unknown = 0
                while unknown < SACCT_GRACE:
                    time.sleep(POLL_SECONDS)
                    bar.update(sum(work.finished(unit) for unit in todo) - bar.n)
                    unknown = 0 if alive(jobs) else unknown + 1
            ended = True
        finally:
            if not ended:
                _ask("scancel", *jobs)
        return {unit: why(logs, rank) for rank, unit in enumerate(todo) if not work.finished(unit)}

    def _submit(self, step: Any, tasks: int, logs: str) -> list[str]:
        """The numbers of the jobs. Raises `Failure` where sbatch refuses."""
        from packtrain.data.executors.slurm_engine import Engine

        engine = Engine(
            [step], tasks=tasks, time=self.time, partition=str(self.partition), logging_dir=logs,
            cpus_per_task=self.cpus_per_task, mem_per_cpu_gb=-(-self.memory_gb // self.cpus_per_task),
            workers=self.at_once or -1, job_name="packtrain-data", qos=self.qos or "", requeue=True,
            env_command=f"{self.setup}; export PACKTRAIN_PYTHON={shlex.quote(sys.executable)}",
            sbatch_args=dict(self.sbatch), max_array_size=self.max_array, max_array_launch_parallel=True,
        )  # fmt: skip
        try:
            engine.launch_job()
        except subprocess.CalledProcessError as error:
            raise Failure(
                f"sbatch refused the job (exit code {error.returncode}, its words are above); check executor.*"
            ) from None
        return engine.jobs


def alive(jobs: Sequence[str]) -> bool:
    """Whether a task of the jobs waits or runs. Raises `Failure` where one waits for what will never come."""
    lines = _ask("squeue", "--noheader", f"--jobs={','.join(jobs)}", "--format=%T|%r").splitlines()
    reasons = {line.partition("|")[2] for line in lines if line.startswith("PENDING")}
    for reason in reasons:
        if reason in ("DependencyNeverSatisfied", "PartitionTimeLimit", "BadConstraints", "AccountNotAllowed"):
            raise Failure(f"the job waits for what will never come ({reason}); change executor.* and try again")
    ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
    return any(line and not line.startswith(ends) for line in lines)


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
