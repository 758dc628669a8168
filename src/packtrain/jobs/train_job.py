"""conf/train.yaml → TrainJob: what a run is asked for;  record: what its config.yaml says of it"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.model.attention_backends.choose import AttentionName
from packtrain.model.compute import Precision
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Recompute
from packtrain.parallel.config import ParallelConfig
from packtrain.training.changes import Change
from packtrain.training.schedule import OptimConfig
from packtrain.training.setup import Setup
from packtrain.training.tuning import Tuning


@dataclass(frozen=True)
class TrainJob:
    """One run in `run_dir`. `callbacks` and `loggers` are objects by name; `composed` is what they were made from.
    `tuning` is what `packtrain finetune` adds.
    """

    name: str
    run_dir: str
    model: ModelConfig
    data: DataConfig
    optim: OptimConfig
    cluster: ClusterConfig
    runs_dir: str = "runs"
    input: str | None = None
    precision: Precision = "fp32"
    attention: AttentionName = "auto"
    recompute: Recompute = "manual"
    compile: bool = False
    fp8: bool = False
    parallel: ParallelConfig = ParallelConfig()
    device: str = "auto"
    seed: int = 1
    log_interval_tokens: float | None = None
    profile: bool = False
    quiet: bool = False
    smoke: bool = False
    dry_run: bool = False
    init_from: str | None = None
    changes: dict[str, Change] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    composed: dict[str, Any] = field(default_factory=dict)
    tuning: Tuning | None = None

    @property
    def lora(self) -> bool:
        """Whether adapters are trained, and all else is frozen."""
        return self.tuning is not None and self.tuning.lora.rank > 0

    def __post_init__(self) -> None:
        parts = Path(self.name).parts
        if not parts or ".." in parts or Path(self.name).is_absolute():
            raise UserError(f"name={self.name}: expected the name of a folder inside runs_dir, e.g. name=first")


def record(job: TrainJob, setup: Setup) -> dict[str, Any]:
    """What config.yaml holds: everything composed, with what was found out while starting."""
    plain = dataclasses.replace(job, callbacks={}, loggers={}, composed={}, model=setup.model)
    typed = dataclasses.asdict(plain)
    typed["data"]["path"] = str(setup.shards.resolve())
    typed["optim"]["betas"] = list(job.optim.betas)
    del typed["composed"]
    if job.tuning is None:
        del typed["tuning"]
    else:
        typed["tuning"]["lora"]["targets"] = list(job.tuning.lora.targets)
    for name in ("callbacks", "loggers"):
        typed[name] = job.composed.get(name, {})
    return {**typed, "fingerprints": setup.fingerprints}
