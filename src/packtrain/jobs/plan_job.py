"""conf/plan.yaml → PlanJob, checked"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.estimate.flops import Convention, Recompute
from packtrain.estimate.split import ParallelChoice
from packtrain.model.config import ModelConfig

RUNS = ("calibrate", "fit", "carbon")
TAKEN_BY = {  # a key that is given → the actions that take it
    "run": ("calibrate", "carbon"), "runs": RUNS, "output": ("fit",), "predict": ("fit",),
    "inference_tokens": ("plan",), "target_loss": ("plan",), "picture": ("plan",),
    "lora_rank": ("finetune",),
}  # fmt: skip


@dataclass(frozen=True)
class PlanJob:
    """conf/plan.yaml says what each key means."""

    model: ModelConfig
    data: DataConfig
    cluster: ClusterConfig
    action: Literal["plan", "calibrate", "fit", "carbon", "published", "finetune"] = "plan"
    format: Literal["text", "json"] = "text"
    precision: Literal["bf16", "fp32"] = "bf16"
    convention: Convention = "6N+attention"
    recompute: Recompute = "manual"
    compile: bool = True
    attention: Literal["flash1", "flash2", "flash3"] = "flash2"
    parallel: ParallelChoice = field(default_factory=ParallelChoice)
    sequences_per_gpu: int | None = None
    mfu: float | None = None
    efficiency: float | None = None
    serving_precision: Literal["fp32", "bf16", "int8", "int4"] = "bf16"
    serving_sequences: int = 32
    serving_context: int = 2048
    inference_tokens: float | None = None
    target_loss: float | None = None
    law: str = "hoffmann"
    run: str | None = None
    runs: list[str] | str | None = None
    predict: list[str] | str | None = None
    runs_dir: str = "runs"
    output: str | None = None
    picture: str | None = None
    input: str | None = None
    lora_rank: int | None = None

    def __post_init__(self) -> None:
        for name, actions in TAKEN_BY.items():
            if getattr(self, name) is not None and self.action not in actions:
                commands = " or ".join(f"packtrain plan {action}".removesuffix(" plan") for action in actions)
                raise UserError(f"{name}={getattr(self, name)}: this action takes none; it goes with {commands}")
        for name in ("mfu", "efficiency"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise UserError(f"{name}={value}: expected a share between 0 and 1, or null")
        for name in ("sequences_per_gpu", "serving_sequences", "serving_context", "lora_rank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value}: expected at least 1")
        for name in ("inference_tokens", "target_loss"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{name}={value}: expected a positive number")
