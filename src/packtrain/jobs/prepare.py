"""packtrain prepare domain=NAME input=PATH output=DIR → DIR/*.jsonl.zst and DIR/report.json"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packtrain.data.domains.registry import choose
from packtrain.data.executors import registry as executors
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.errors import UserError


@dataclass(frozen=True)
class PrepareJob:
    """domain: its name and its parameters, conf/domain/<name>.yaml. input: a path, or an fsspec URL for `text`.
    executor: conf/executor/<engine>.yaml."""

    domain: dict[str, Any]
    output: str | None = None
    input: str | None = None
    held_out: float = 0.05
    overwrite: bool = False
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    executor: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_held_out(self.held_out)
        choose(self.domain)  # an unknown parameter is refused before anything is read


def check_held_out(share: float) -> None:
    if not 0 < share < 1:
        raise UserError(f"held_out={share}: expected a share between 0 and 1, both excluded")


def run(job: PrepareJob) -> None:
    """Makes the documents, or says that they are made."""
    source = job.input if job.input is None or "://" in job.input else Path(job.input)
    output = Path(job.output) if job.output is not None else Path("data/documents") / job.domain["name"]
    executor = executors.choose(job.executor, job.prepare.processes)
    prepare(job.domain, source, output, job.held_out, job.overwrite, options=job.prepare, executor=executor)
