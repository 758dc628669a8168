"""packtrain prepare domain=NAME input=PATH output=DIR → DIR/*.jsonl.zst and DIR/report.json"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packtrain.data.prepare import prepare
from packtrain.errors import UserError


@dataclass(frozen=True)
class PrepareJob:
    domain: str
    output: str | None = None
    input: str | None = None
    held_out: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_held_out(self.held_out)


def check_held_out(share: float) -> None:
    if not 0 < share < 1:
        raise UserError(f"held_out={share}: expected a share between 0 and 1, both excluded")


def run(job: PrepareJob) -> None:
    """Makes the documents, or says that they are made."""
    source = Path(job.input) if job.input is not None else None
    output = Path(job.output) if job.output is not None else Path("data/documents") / job.domain
    prepare(job.domain, source, output, job.held_out, job.overwrite)
