"""datatrove's SlurmPipelineExecutor for our units: this Python on the nodes, no second job for statistics"""

from __future__ import annotations

from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

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
