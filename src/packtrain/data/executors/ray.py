"""units → datatrove's RayPipelineExecutor → one Ray task each, on this machine's own Ray or on a cluster's

The cluster's machines share the file system of `output` and of `input`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from tqdm import tqdm

from packtrain.data.complete import Rules
from packtrain.data.units import Work
from packtrain.errors import UserError


@dataclass(frozen=True)
class RayExecutor:
    """address: of a running cluster, `auto` for the one of this machine, null to start one here and end it again.

    workers: units at a time; null: as many as there are CPUs. minutes: after which a unit is taken to hang.
    """

    engine: Literal["ray"] = "ray"
    address: str | None = None
    workers: int | None = None
    cpus_per_task: int = 1
    memory_gb: float = 2.0
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("cpus_per_task", "memory_gb"):
            if getattr(self, name) <= 0:
                raise UserError(f"executor.{name}={getattr(self, name)}: expected more than 0")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"executor.workers={self.workers}: expected at least 1, or null")
        for module in ("ray", "datatrove"):
            if find_spec(module) is None:
                raise UserError(f"executor=ray: {module} is not installed; pip install 'packtrain[ray]'")

    def run(
        self, work: Work, todo: Sequence[int], weights: Sequence[int], what: str, rules: Rules
    ) -> Mapping[int, str]:
        """As `complete.Executor` says."""
        import ray
        from datatrove.executor.ray import RayPipelineExecutor

        from packtrain.data.executors.unit_step import UnitStep, logs_of, why

        own = not ray.is_initialized()
        if own:
            self._connect(ray)
        try:
            logs = logs_of(work)
            seconds = None if self.minutes is None else int(60 * self.minutes)
            bar = tqdm(total=len(todo), desc=f"{what} (ray)", unit=" units", delay=1, disable=None)
            with bar:
                RayPipelineExecutor(
                    [UnitStep(work, todo, rules.timeout)],
                    tasks=len(todo), workers=self.workers or -1, logging_dir=str(logs), time=seconds,
                    cpus_per_task=self.cpus_per_task, mem_per_cpu_gb=self.memory_gb / self.cpus_per_task,
                ).run()  # fmt: skip
                bar.update(len(todo))
        finally:
            if own:
                ray.shutdown()
        return {unit: why(logs, rank) for rank, unit in enumerate(todo) if not work.finished(unit)}

    def _connect(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
        try:
            if self.address is None:
                ray.init(address="local", num_cpus=self.workers, include_dashboard=False, **quiet)
            else:
                ray.init(address=self.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"executor.address={self.address}: no Ray cluster answers ({reason}); start one with: ray start --head"
            ) from None
