"""run=, runs= → the finished runs they name, read as far as a plan needs them"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packtrain import settings
from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.report.reading import RunData, find_runs, read_run

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its model, and what its summary says. `name`: its folder below `runs_dir`, for members of
    several sweeps are called alike.
    """

    data: RunData
    model: ModelConfig
    name: str

    @property
    def summary(self) -> dict[str, Any]:
        return self.data.summary

    def number(self, *names: str) -> float | None:
        """The first of the summary's values that is a number."""
        for name in names:
            value = self.summary.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
        return None


def finished_runs(job: PlanJob) -> list[Finished]:
    """Those of `run` and `runs`. `UserError` for none given, none there, or one that has not finished."""
    given = [job.runs] if isinstance(job.runs, str) else list(job.runs or [])
    names = ([job.run] if job.run else []) + given
    if not names:
        raise UserError(
            f"packtrain plan {job.action} needs run=NAME or runs=[A,B,…]: folders that packtrain train wrote"
        )
    return [_finished(read_run(path), job.runs_dir) for path in find_runs(names, job.runs_dir)]


def finished_members(names: list[str] | str, runs_dir: str) -> tuple[list[Finished], list[str]]:
    """The finished runs among `names`, and a line for each member of a sweep that failed or still trains.

    `UserError` where a run is named itself and has not finished.
    """
    found, left_out = [], []
    for name in [names] if isinstance(names, str) else names:
        members = find_runs([name], runs_dir)
        for path in members:
            data = read_run(path)
            if len(members) > 1 and not data.summary.get("finished"):
                left_out.append(f"{data.name} has not finished: left out")
            else:
                found.append(_finished(data, runs_dir))
    return found, left_out


def _finished(data: RunData, runs_dir: str) -> Finished:
    if not data.summary.get("finished"):
        raise UserError(f"{data.path} has not finished training (no summary.json): wait for it, or leave it out")
    shape = data.config.get("model")
    if not isinstance(shape, dict):
        raise UserError(f"{data.path}/config.yaml names no model: is it a run of packtrain train?")
    name = str(data.path.relative_to(runs_dir)) if data.path.is_relative_to(runs_dir) else data.name
    return Finished(data, settings.build(ModelConfig, shape, "model"), name)
