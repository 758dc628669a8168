"""packtrain pack input=DIR tokenizer=FILE output=DIR → token shards per domain and split, with a manifest"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packtrain.data.pack import pack
from packtrain.jobs.prepare import check_held_out
from packtrain.jobs.tokenizer import as_paths


@dataclass(frozen=True)
class PackJob:
    input: str | tuple[str, ...]
    tokenizer: str
    output: str
    held_out: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_held_out(self.held_out)


def run(job: PackJob) -> None:
    """Packs the documents, or says that they are packed."""
    pack(as_paths(job.input), Path(job.tokenizer), Path(job.output), job.held_out, job.overwrite)
