"""the overrides of every job → composed and checked, one and all, before anything starts → members"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf, open_dict

from packtrain.errors import UserError


def ranks(launcher: Mapping[str, Any]) -> int | None:
    """How many processes a member gets; None for values that the launcher will refuse."""
    nodes, of_each = launcher.get("nodes"), launcher.get("tasks_per_node")
    return nodes * of_each if isinstance(nodes, int) and isinstance(of_each, int) and nodes > 0 < of_each else None


class Elsewhere(Launcher):
    """A launcher whose jobs run in other processes: the task function's `plan` says what they are started with."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.context: Any = None
        self.task: Any = None
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def unless(self, launcher: Mapping[str, Any]) -> str | None:
        """What to do where the data of a member is not on this machine; None where that need not be looked for."""
        return None

    def members(self, job_overrides: Sequence[Sequence[str]]) -> list[Any]:
        """The members, or the error of the first that does not compose."""
        planned = []
        for number, overrides in enumerate(job_overrides):
            cfg = self.context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(cfg):
                cfg.hydra.job.id, cfg.hydra.job.num = str(number), number
            HydraConfig.instance().set_config(cfg)
            own = list(cfg.hydra.overrides.task)
            launcher: Any = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
            del launcher["_target_"]
            with open_dict(cfg):
                del cfg["hydra"]
            planned.append((self.task.plan(cfg, own, ranks(launcher), self.unless(launcher)), launcher))
        HydraConfig.instance().set_config(self.config)
        folders = [member.run_dir for member, _ in planned]
        for folder in folders:
            if folders.count(folder) > 1:
                raise UserError(f"{folders.count(folder)} members would train in {folder}: sweep shorter values")
        return planned
