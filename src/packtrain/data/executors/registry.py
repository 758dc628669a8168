"""executor=NAME → conf/executor/<name>.yaml → one of local, slurm, ray: where units of work are made"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packtrain import settings
from packtrain.data.complete import Executor
from packtrain.data.executors.local import LocalExecutor
from packtrain.data.executors.ray import RayExecutor
from packtrain.data.executors.slurm import SlurmExecutor
from packtrain.errors import UserError, did_you_mean

ENGINES = {"local": LocalExecutor, "slurm": SlurmExecutor, "ray": RayExecutor}


def choose(values: Mapping[str, Any], processes: int | None = None) -> Executor:
    """`{engine: slurm, partition: cpu}` → the executor, checked: its engine is there, its partition exists.

    processes: of the local one. Raises `UserError` for an unknown engine, key or value, and for a missing engine.
    """
    engine = str(values.get("engine", "local"))
    if engine not in ENGINES:
        raise UserError(f"executor.engine={engine}: unknown{did_you_mean(engine, ENGINES)}")
    own = {"processes": processes} if engine == "local" and processes is not None else {}
    return settings.build(ENGINES[engine], {**values, **own}, "executor")
