"""packtrain tokenizer input=DIR|FILES output=FILE vocab_size=N → FILE, and FILE.json that says how it was made"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packtrain.data.vocabulary import make_tokenizer
from packtrain.errors import UserError
from packtrain.jobs.prepare import check_held_out


@dataclass(frozen=True)
class TokenizerJob:
    input: str | tuple[str, ...]
    output: str
    vocab_size: int = 32000
    held_out: float = 0.05
    split_digits: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_held_out(self.held_out)
        if self.vocab_size < 1:
            raise UserError(f"vocab_size={self.vocab_size}: expected at least 1")


def as_paths(value: str | tuple[str, ...]) -> list[Path]:
    return [Path(value)] if isinstance(value, str) else [Path(part) for part in value]


def run(job: TokenizerJob) -> None:
    """Trains the tokenizer, or says that it is there."""
    make_tokenizer(
        as_paths(job.input),
        Path(job.output),
        job.vocab_size,
        job.held_out,
        job.overwrite,
        split_digits=job.split_digits,
    )
