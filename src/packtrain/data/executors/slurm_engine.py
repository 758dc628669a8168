"""datatrove's SlurmPipelineExecutor for our units: this Python on the nodes, no second job for statistics"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from packtrain.data.executors.unit_step import UnitStep
from packtrain.errors import Failure

if TYPE_CHECKING:
    from packtrain.data.executors.slurm import SlurmExecutor

LAUNCH = "launch_pickled_pipeline"


class Engine(SlurmPipelineExecutor):
    """Remembers the numbers of all jobs that it submits; datatrove's keeps the last alone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.jobs: list[str] = []
        super().__init__(*arguments, **options)

    @property
    def job_id(self) -> str | None:
        return self.jobs[-1] if self.jobs else None

    @job_id.setter
    def job_id(self, number: str | None) -> None:
        if number is not None:
            self.jobs.append(str(number))

    def launch_merge_stats(self) -> None:
        """Not wanted: it would wait for ever for an array of which one task failed."""

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        own = run_script.replace(LAUNCH, f"$PACKTRAIN_PYTHON -m datatrove.tools.{LAUNCH}", 1)
        return super().get_launch_file_contents(sbatch_args, own)


def submit(settings: SlurmExecutor, step: UnitStep, tasks: int, logs: Path) -> list[str]:
    """The numbers of the jobs. Raises `Failure` where sbatch refuses."""
    engine = Engine(
        [step], tasks=tasks, time=settings.time, partition=str(settings.partition), logging_dir=str(logs),
        cpus_per_task=settings.cpus_per_task, mem_per_cpu_gb=-(-settings.memory_gb // settings.cpus_per_task),
        workers=settings.at_once or -1, job_name="packtrain-data", qos=settings.qos or "", requeue=True,
        env_command=settings.environment(), sbatch_args=dict(settings.sbatch), max_array_size=settings.max_array,
        max_array_launch_parallel=True, mail_type="NONE",
    )  # fmt: skip
    try:
        engine.launch_job()
    except subprocess.CalledProcessError as error:
        raise Failure(
            f"sbatch refused the job (exit code {error.returncode}, its words are above); check executor.*"
        ) from None
    return engine.jobs
