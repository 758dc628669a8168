"""packtrain pack input=DIR tokenizer=FILE output=DIR → token shards per domain and split, with a manifest"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packtrain.data.executors.local import LocalExecutor
from packtrain.data.executors.registry import choose
from packtrain.data.pack import pack
from packtrain.errors import UserError
from packtrain.jobs.prepare import check_held_out
from packtrain.jobs.tokenizer import as_paths


@dataclass(frozen=True)
class PackJob:
    input: str | tuple[str, ...]
    tokenizer: str
    output: str
    held_out: float = 0.05
    tokens: int | None = None
    overwrite: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    processes: int | None = None
    executor: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_held_out(self.held_out)
        LocalExecutor(processes=self.processes)  # its check
        if self.tokens is not None and self.tokens < 1:
            raise UserError(f"tokens={self.tokens}: expected at least 1, or null")
        for domain, weight in self.weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise UserError(f"weights.{domain}={weight}: expected 0 or more")
        if self.weights and not any(self.weights.values()):
            raise UserError("weights: every weight is 0; give at least one domain a positive weight")


def run(job: PackJob) -> None:
    """Packs the documents, or says that they are packed."""
    pack(
        as_paths(job.input), Path(job.tokenizer), Path(job.output), job.held_out, job.overwrite,
        weights=job.weights, tokens=job.tokens, executor=choose(job.executor, job.processes),
    )  # fmt: skip
